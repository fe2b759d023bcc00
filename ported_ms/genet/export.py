"""Exports a checkpoint of GENet to ONNX or TorchScript: `python -m reference_torch.genet.export --help`."""

from __future__ import annotations

import argparse

from mindspore import nn, ops, Tensor
from . import ms_extras

from .model import create_model
from .train import add_model_arguments, load_pretrained


def export_onnx(model: nn.Cell, images: Tensor, path: str) -> None:
    """Write the network for inputs of the shape of `images` as ONNX."""
    ms_extras.export_network(model, (images,), path, input_names=["images"], output_names=["logits"])


def export_torchscript(model: nn.Cell, images: Tensor, path: str) -> None:
    """Write the network for inputs of the shape of `images` as TorchScript."""
    traced = ms_extras.jit_trace(model, images)
    ms_extras.jit_save(traced, path)


def main(argv: list[str] | None = None) -> None:
    """Build the network, load the checkpoint and write it in the format asked for."""
    parser = argparse.ArgumentParser(description="Export a checkpoint of GENet.")
    parser.add_argument("checkpoint", help="a state dict, as written by train")
    parser.add_argument("output")
    parser.add_argument("--format", choices=("onnx", "torchscript"), default="onnx")
    parser.add_argument("--batch-size", type=int, default=1)
    add_model_arguments(parser)
    args = parser.parse_args(argv)

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
    model.set_train(False)
    images = ops.zeros((args.batch_size, args.in_channels, args.img_size, args.img_size))
    if args.format == "onnx":
        export_onnx(model, images, args.output)
    else:
        export_torchscript(model, images, args.output)


if __name__ == "__main__":
    main()
