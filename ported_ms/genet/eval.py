"""Evaluates a checkpoint of GENet: `python -m reference_torch.genet.eval checkpoints/genet-0004.pth`."""

from __future__ import annotations

import argparse

from .model import create_model
from .train import (
    add_data_arguments,
    add_model_arguments,
    create_data_loaders,
    evaluate,
    load_pretrained,
    select_device,
)


def main(argv: list[str] | None = None) -> float:
    """Print top-1 and top-5 accuracy on the test set; top-1 in percent."""
    parser = argparse.ArgumentParser(description="Evaluate a checkpoint of GENet.")
    parser.add_argument("checkpoint", help="a state dict, as written by train")
    add_model_arguments(parser)
    add_data_arguments(parser)
    args = parser.parse_args(argv)

    device = select_device(args.device, 0)
    _, test_loader = create_data_loaders(args)
    model = create_model(
        args.backbone,
        args.variant,
        args.extent,
        args.num_classes,
        args.img_size,
        args.in_channels,
        args.profile,
    )
    load_pretrained(model, args.checkpoint)
    top1, top5 = evaluate(model, test_loader, device)
    print(f"top-1 {top1:.2f} % top-5 {top5:.2f} %")
    return top1


if __name__ == "__main__":
    main()
