"""The commands and their options. What a command needs is imported when it runs."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiphys import __version__
from tiphys.cli import leading, streams
from tiphys.cli.exits import Exit
from tiphys.errors import TiphysError

if TYPE_CHECKING:
    from tiphys.cli.wiring import Wiring

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
FORMS = ("json", "yaml", "name", "wide")

VARIABLE = "_TIPHYS_COMPLETE"
"""Set by a shell that wants to know what to offer at the Tab key."""


def main(arguments: Sequence[str], wiring: "Callable[[], Wiring]") -> int:
    """Run the command that `arguments` name; the exit code. `wiring` is called by what needs it: help does not."""
    streams.prepare()
    if VARIABLE in os.environ:
        from tiphys.cli import shells

        shells.prepare()
    try:
        code = tiphys.main(args=list(arguments), prog_name="tiphys", obj=wiring, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return Exit.BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.FAILED
    except TiphysError as error:
        sys.stderr.write(f"tiphys: {error}\n")
        return Exit.FAILED
    except BaseExceptionGroup as error:
        if error.split(BrokenPipeError)[1] is not None:
            raise
        return Exit.FAILED
    return int(code or 0)


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command has."""
    options = (
        click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The settings file, in place of the usual one."),
        click.option("--no-color", is_flag=True, help="No colours."),
        click.option("--executor", default="", metavar="NAME", help="What runs the steps; the setting `executor` otherwise."),
    )
    return functools.reduce(lambda made, option: option(made), options, command)


class Commands(leading.Group):
    """What works without a daemon is here; the commands that ask one are made when the first of them, or all names, are asked for."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in self.commands:
            self.complete()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all."""
        self.complete()
        return super().list_commands(ctx)

    def complete(self) -> None:
        """Have all commands."""
        from tiphys.cli import control, definitions, insight

        for command in (*control.COMMANDS, *definitions.COMMANDS, *insight.COMMANDS):
            self.add_command(command)


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(__version__, "-V", "--version", message="tiphys %(version)s")
def tiphys() -> None:
    """Argo Workflows on one machine, without Kubernetes."""


@tiphys.command()
@click.argument("file", metavar="FILE|-")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; may be repeated.")
@click.option("-f", "--parameter-file", default="", metavar="FILE", help="Parameters from a YAML or JSON map; -p wins.")
@click.option("--entrypoint", default="", metavar="TEMPLATE", help="The template to begin with, in place of the file's.")
@click.option("--name", default="", metavar="NAME", help="The workflow's name, in place of the file's.")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep state here; a run found here goes on.")
@click.option("--retry", is_flag=True, help="Go on from the failed nodes of the run in --state, or of the last run of this name.")
@click.option("--dry-run", is_flag=True, help="Show the plan, run nothing: what starts first, what is known of the rest.")
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the workflow's own metrics there at the end, in Prometheus' text format.",
)
@click.option("--log", is_flag=True, help="Show the steps' output as it comes.")
@click.option("-o", "--output", type=click.Choice(FORMS), help="Print the final Workflow on standard output.")
@click.option("--no-utf8", is_flag=True, help="Words and plain lines in place of icons.")
@shared
@click.pass_obj
def run(wiring: "Callable[[], Wiring]", /, *, no_color: bool, no_utf8: bool, output: str | None, **typed: Any) -> Exit:
    """Run a workflow file to its end in the foreground.

    Exit codes: 0 Succeeded, 1 Failed or Error, 2 bad input, 78 the stored state is refused, 130 interrupted.
    """
    from tiphys.cli import requests
    from tiphys.cli import run as running

    return running.main(requests.Request(output=output or "", colours=not no_color, utf8=not no_utf8, **typed), wiring())


@tiphys.command()
@click.argument("paths", metavar="FILE|DIR|-...", nargs=-1, required=True)
@click.option("-o", "--output", "form", type=click.Choice(("pretty", "simple")), default="pretty", help="How findings are shown.")
@click.option("--offline", is_flag=True, help="What the files refer to and do not hold is named, not refused.")
@click.option("--advise", is_flag=True, help="Also give advice on what is valid but risky; it never fails.")
@click.option("--strict", is_flag=True, help="For Argo's sake: unknown fields are errors anyway.")
@shared
@click.pass_obj
def lint(wiring: "Callable[[], Wiring]", /, *, no_color: bool, offline: bool, strict: bool, **typed: Any) -> Exit:
    """Say everything that is wrong with manifests; with --executor also what that executor cannot run.

    Exit codes: 0 nothing is wrong, 2 something is, or there is nothing to lint.
    """
    from tiphys.cli import lint as linting

    del strict  # that is how it always is
    return linting.main(linting.Request(colours=not no_color, offline=offline, **typed), wiring())
