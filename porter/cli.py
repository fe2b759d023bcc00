"""The command line; each command's machinery is imported when it runs, so that help comes at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from porter import __version__
from porter.diagnostics import InputError

COMMANDS = {
    "port": ("porter.port", "port", "The whole job: trace, convert, weights, parity, report."),
    "convert": ("porter.commands", "convert", "Convert PyTorch source to MindSpore source."),
    "weights": ("porter.weights.command", "weights", "Convert a checkpoint, .pth to .ckpt or back."),
    "parity": ("porter.parity.command", "parity", "Run both models side by side and compare."),
    "scan": ("porter.commands", "scan", "Say what would port and what would not, before anything is written."),
    "explain": ("porter.commands", "explain", "Show the row of a torch name: what it becomes, what differs, its state."),
    "prove": ("porter.parity.command", "prove", "Run the table's own proofs on both frameworks."),
    "new": ("porter.commands", "new", "Print the skeleton of a row for a torch name."),
    "table": ("porter.commands", "table", "Write the table's generated pages."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, _, help) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, 1)
            if not close:
                raise
            raise click.UsageError(f"{error.format_message()} Did you mean {close[0]!r}?", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            click.echo(f"porter: error: {error}", err=True)
            ctx.exit(2)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="porter")
def main() -> None:
    """Move PyTorch models to MindSpore, and prove that they still compute the same thing.

    Exit status: 0 clean, 1 diagnostics or a failed comparison, 2 usage or input error.
    """


def shared_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options that several commands have in common."""
    options = {
        "target": click.option("--target", type=click.Choice(["portable", "CPU", "GPU", "Ascend"]), default="portable", show_default=True, help="Device the port is for."),
        "mappings": click.option("--mappings", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True, help="A table of your own, whose rows win."),
        "format": click.option("--format", "style", type=click.Choice(["text", "json", "sarif"]), default="text", show_default=True, help="How diagnostics are printed."),
        "input": click.option("--input", "inputs", multiple=True, metavar="SPEC", help="A sample input, such as float32[1,3,224,224] or 'int64[2,16]<1000'."),
    }  # fmt: skip

    def apply(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            command = options[name](command)
        return command

    return apply


if __name__ == "__main__":
    sys.exit(main())
