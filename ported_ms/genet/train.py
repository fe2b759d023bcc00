"""Trains GENet: `python -m reference_torch.genet.train` trains a small one on MNIST digits in a minute."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import mindspore
from mindspore import nn, ops, Tensor
from . import ms_extras

from .dataset import create_imagefolder_loaders, create_mnist_loaders
from .model import BACKBONES, EXTENTS, PROFILES, VARIANTS, create_model


class OneHotSmoothingLoss(nn.Cell):
    """Cross entropy against 1 - s for the true class and s / K for each other one, as in the model zoo.

    The targets sum to 1 - s / K, unlike those of nn.CrossEntropyLoss(label_smoothing=s), which gives the
    true class 1 - s + s / K.
    """

    def __init__(self, num_classes: int, smoothing: float) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.on_value = 1.0 - smoothing
        self.off_value = smoothing / num_classes

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        one_hot = ms_extras.functional_one_hot(labels, self.num_classes).float()
        targets = one_hot * (self.on_value - self.off_value) + self.off_value
        log_probabilities = ops.log_softmax(logits, axis=1)
        return -ops.mul(targets, log_probabilities).sum(dim=1).mean()


def create_criterion(loss: str, num_classes: int, smoothing: float) -> nn.Cell:
    """`cross_entropy` smooths as PyTorch does, `one_hot` as the model zoo does."""
    if loss == "one_hot":
        return OneHotSmoothingLoss(num_classes, smoothing)
    return ms_extras.CrossEntropyLoss(label_smoothing=smoothing)


def initialize_weights(model: nn.Cell, profile: str = "paper") -> None:
    """He normal convolutions and Xavier linear layers; in the zoo's profile He uniform, truncated normal."""
    for module in [cell for _, cell in model.cells_and_names()]:
        if isinstance(module, nn.Conv2d):
            if profile == "zoo":
                ms_extras.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
            else:
                ms_extras.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                ms_extras.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            ms_extras.ones_(module.gamma)
            ms_extras.zeros_(module.beta)
        elif isinstance(module, nn.Dense):
            if profile == "zoo":
                ms_extras.trunc_normal_(module.weight, std=0.02)
            else:
                ms_extras.xavier_uniform_(module.weight)
            ms_extras.zeros_(module.bias)


def load_pretrained(model: nn.Cell, path: str) -> None:
    """Load a state dict strictly; raises RuntimeError for a missing, unexpected or wrongly shaped entry."""
    state = ms_extras.load(path)
    model.load_state_dict(state)


def create_optimizer(model: nn.Cell, lr: float, momentum: float, weight_decay: float) -> ms_extras.SGD:
    """SGD with momentum whose weight decay spares norm parameters and biases, all of which are vectors."""
    decayed = []
    spared = []
    for parameter in ms_extras.module_parameters(model):
        if parameter.ndim == 1:
            spared.append(parameter)
        else:
            decayed.append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return ms_extras.SGD(groups, lr=lr, momentum=momentum)


def create_scheduler(optimizer: ms_extras.Optimizer, total_steps: int) -> ms_extras.LambdaLR:
    """The learning rate falls linearly from its start to 0 over `total_steps` steps."""
    return ms_extras.LambdaLR(optimizer, lr_lambda=lambda step: max(1.0 - step / total_steps, 0.0))


def train_one_epoch(
    model: nn.Cell,
    loader: ms_extras.DataLoader,
    criterion: nn.Cell,
    optimizer: ms_extras.Optimizer,
    scheduler: ms_extras.LambdaLR,
    device: ms_extras.device,
    log_interval: int = 50,
) -> float:
    """One pass over the training set; the mean loss of its steps."""
    model.set_train()
    total_loss = 0.0

    def forward_fn(images, labels):
        loss = criterion(model(images), labels)
        return loss

    grad_fn = mindspore.value_and_grad(forward_fn, None, optimizer.parameters)

    for step, (images, labels) in enumerate(loader):
        loss, grads = grad_fn(images, labels)
        grads = ms_extras.reduce_gradients(grads)
        optimizer(grads)
        scheduler.step()
        total_loss += loss.item()
        if log_interval > 0 and (step + 1) % log_interval == 0:
            print(f"  step {step + 1}/{len(loader)} loss {total_loss / (step + 1):.4f}", flush=True)
    return total_loss / len(loader)


def train_one_epoch_amp(
    model: nn.Cell,
    loader: ms_extras.DataLoader,
    criterion: nn.Cell,
    optimizer: ms_extras.Optimizer,
    scheduler: ms_extras.LambdaLR,
    device: ms_extras.device,
    scaler: ms_extras.GradScaler,
    log_interval: int = 50,
) -> float:
    """As `train_one_epoch`, in mixed precision: float16 with a scaled loss on CUDA, bfloat16 on the CPU."""
    model.set_train()
    total_loss = 0.0

    def forward_fn(images, labels):
        with ms_extras.autocast(device_type=str(device).partition(":")[0].lower()):
            loss = criterion(model(images), labels)
        return scaler.scale(loss), loss

    grad_fn = mindspore.value_and_grad(forward_fn, None, optimizer.parameters, has_aux=True)

    for step, (images, labels) in enumerate(loader):
        (_, loss), grads = grad_fn(images, labels)
        grads = ms_extras.reduce_gradients(grads)
        grads = scaler.unscale(grads)
        scaler.step(optimizer, grads)
        scaler.update()
        scheduler.step()
        total_loss += loss.item()
        if log_interval > 0 and (step + 1) % log_interval == 0:
            print(f"  step {step + 1}/{len(loader)} loss {total_loss / (step + 1):.4f}", flush=True)
    return total_loss / len(loader)


def evaluate(model: nn.Cell, loader: ms_extras.DataLoader, device: ms_extras.device) -> tuple[float, float]:
    """Top-1 and top-5 accuracy in percent."""
    model.set_train(False)
    top1 = 0
    top5 = 0
    count = 0
    for images, labels in loader:
        logits = model(images)
        _, predicted = ms_extras.topk(logits, 5, dim=1)
        hits = ops.eq(predicted, labels.unsqueeze(1))
        top1 += int(hits[:, :1].sum().item())
        top5 += int(hits.sum().item())
        count += labels.shape[0]
    return 100.0 * top1 / count, 100.0 * top5 / count


def save_checkpoint(model: nn.Cell, folder: Path, epoch: int, keep: int) -> Path:
    """Write the state dict of this epoch and delete all but the `keep` newest checkpoints of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"genet-{epoch:04d}.pth"
    ms_extras.save(model.state_dict(), path)
    for old in sorted(folder.glob("genet-*.pth"))[:-keep]:
        old.unlink()
    return path


def select_device(name: str, local_rank: int) -> ms_extras.device:
    """The device called `name`; on CUDA, that of this process's rank."""
    if name == "cuda":
        ms_extras.set_device(local_rank)
        return ms_extras.device("cuda", local_rank)
    return ms_extras.device(name)


def init_distributed(device_name: str) -> tuple[int, int]:
    """Join the process group that torchrun describes; rank and number of processes."""
    ms_extras.init_process_group()
    return mindspore.communication.get_rank(), mindspore.communication.get_group_size()


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that describe the network and the data, shared by training, evaluation and export."""
    parser.add_argument("--backbone", choices=BACKBONES, default="wrn10_1")
    parser.add_argument("--variant", choices=VARIANTS, default="theta_plus")
    parser.add_argument("--extent", type=int, choices=EXTENTS, default=2, help="0 is global")
    parser.add_argument("--profile", choices=tuple(PROFILES), default="paper")
    parser.add_argument("--num-classes", type=int, default=10)
    parser.add_argument("--img-size", type=int, default=32)
    parser.add_argument("--in-channels", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that describe the data, shared by training and evaluation."""
    parser.add_argument("--data", default="mnist", help="mnist, or a folder that has train/ and val/")
    parser.add_argument("--batch-size", type=int, default=32, help="of one process")
    parser.add_argument("--workers", type=int, default=0)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train GENet.")
    add_model_arguments(parser)
    add_data_arguments(parser)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=0.1, help="at the start; falls linearly to 0")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--loss", choices=("cross_entropy", "one_hot"), default="cross_entropy")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--pretrained", default="", help="a state dict to start from")
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument("--loss-scale", type=float, default=1024.0, help="at the start of a float16 run")
    parser.add_argument("--distributed", action="store_true", help="one process of a torchrun")
    parser.add_argument("--output", default="checkpoints")
    parser.add_argument("--keep", type=int, default=3, help="checkpoints kept")
    parser.add_argument("--log-interval", type=int, default=50)
    return parser.parse_args(argv)


def create_data_loaders(
    args: argparse.Namespace, world_size: int = 1, rank: int = 0
) -> tuple[ms_extras.DataLoader, ms_extras.DataLoader]:
    """The training and test loader that the command line asks for."""
    if args.data == "mnist":
        return create_mnist_loaders(
            args.batch_size, args.img_size, workers=args.workers, world_size=world_size, rank=rank
        )
    return create_imagefolder_loaders(
        args.data, args.batch_size, args.img_size, workers=args.workers, world_size=world_size, rank=rank
    )


def main(argv: list[str] | None = None) -> float:
    """Train, print time and loss of each epoch, keep checkpoints; the last top-1 accuracy in percent."""
    args = parse_arguments(argv)
    mindspore.set_seed(args.seed)
    device = select_device(args.device, int(os.environ.get("DEVICE_ID", "0")))
    rank = 0
    world_size = 1
    if args.distributed:
        rank, world_size = init_distributed(args.device)

    train_loader, test_loader = create_data_loaders(args, world_size, rank)
    model = create_model(
        args.backbone,
        args.variant,
        args.extent,
        args.num_classes,
        args.img_size,
        args.in_channels,
        args.profile,
    )
    initialize_weights(model, args.profile)
    if args.pretrained:
        load_pretrained(model, args.pretrained)
    network = model
    if args.distributed:
        network = ms_extras.DistributedDataParallel(model)

    criterion = create_criterion(args.loss, args.num_classes, args.label_smoothing)
    optimizer = create_optimizer(network, args.lr, args.momentum, args.weight_decay)
    scheduler = create_scheduler(optimizer, args.epochs * len(train_loader))
    scaler = ms_extras.GradScaler(init_scale=args.loss_scale, enabled=args.device == "cuda")

    top1 = 0.0
    log_interval = args.log_interval if rank == 0 else 0
    for epoch in range(1, args.epochs + 1):
        if isinstance(train_loader.sampler, ms_extras.DistributedSampler):
            train_loader.sampler.set_epoch(epoch)
        start = time.perf_counter()
        if args.amp:
            loss = train_one_epoch_amp(
                network, train_loader, criterion, optimizer, scheduler, device, scaler, log_interval
            )
        else:
            loss = train_one_epoch(
                network, train_loader, criterion, optimizer, scheduler, device, log_interval
            )
        seconds = time.perf_counter() - start
        if rank == 0:
            top1, top5 = evaluate(model, test_loader, device)
            save_checkpoint(model, Path(args.output), epoch, args.keep)
            print(
                f"epoch {epoch}/{args.epochs} loss {loss:.4f} top-1 {top1:.2f} % top-5 {top5:.2f} %"
                f" {seconds:.1f} s",
                flush=True,
            )
    if args.distributed:
        mindspore.communication.release()
    return top1


if __name__ == "__main__":
    main()
