"""The command line of `tiphysd`: be the daemon, or look after its state."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tiphys import __version__
from tiphys.errors import InvalidSettings, StateRefused, TiphysError

FAILED, BAD_INPUT, STATE_REFUSED, INTERRUPTED = 1, 2, 78, 130
ABOUT = """The daemon that runs workflows: from its drop folder, from cron workflows, and for those who ask it (`tiphys submit`).

Signals: SIGTERM and SIGINT end it, steps that run go on and are found again by the next daemon; SIGHUP reads the settings again.
Exit codes: 0 ended, 1 could not go on, 2 bad input or settings, 78 the stored state is refused."""


def main(arguments: Sequence[str]) -> int:
    """Run what `arguments` say; the exit code."""
    parser = argparse.ArgumentParser(prog="tiphysd", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, metavar="FILE", help="the settings file, in place of the usual one")
    parser.add_argument("-V", "--version", action="version", version=f"tiphysd {__version__}")
    parser.add_argument(
        "command", nargs="?", choices=("check", "backup", "restore", "token"), help="look after the state instead; see COMMAND --help"
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    typed = parser.parse_args(arguments)
    try:
        import_structlog()
        from tiphys import daemon

        if typed.command:
            from tiphys.care import commands

            return commands.SUBCOMMANDS[typed.command](typed.rest, daemon.place(typed.config, os.environ))
        return daemon.main(typed.config, os.environ)
    except (TiphysError, BaseExceptionGroup) as error:
        return _ended(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read what it says went away
        return FAILED


def _ended(error: BaseException) -> int:
    """Say why the daemon ended; the exit code. What is no error of ours keeps its traceback."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        if not isinstance(leaf, TiphysError):
            raise error
    for text in dict.fromkeys(str(leaf) for leaf in leaves):
        sys.stderr.write(f"tiphysd: {text}\n")
    if any(isinstance(leaf, StateRefused) for leaf in leaves):
        return STATE_REFUSED
    return BAD_INPUT if any(isinstance(leaf, InvalidSettings) for leaf in leaves) else FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def import_structlog() -> None:
    """Without rich, which it would import to draw tracebacks in colours: 66 modules and 3 MB for what no log line of ours uses."""
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's way to say that there is none
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
