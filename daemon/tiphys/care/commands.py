"""`tiphysd check`, `backup` and `restore`: what their options are, what they print, which code they end with.

What a command needs is imported when it runs.
"""

import argparse
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tiphys.configuration import Configuration
from tiphys.errors import InvalidSettings, StateRefused, TiphysError

CLEAN, WRONG, BAD_INPUT, STATE_REFUSED = 0, 1, 2, 78
WIDTH = 120


class Wiring(Protocol):
    """What a command is given: the variables, the home directory, whether we are root, and how the settings are read."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The process's variables."""
        ...

    @property
    def home(self) -> Path:
        """The user's home directory."""
        ...

    @property
    def root(self) -> bool:
        """Whether we are root."""
        ...

    def load(self) -> Configuration:
        """The settings that are in force. Raises InvalidSettings."""
        ...


Run = Callable[[Sequence[str], Wiring], int]


def run_check(arguments: Sequence[str], wiring: Wiring) -> int:
    """`tiphysd check`: say whether all is well; 0 (also with warnings), 1 (errors), 78 (the state is refused)."""
    parser = _parser(
        "check", "Look whether all is well: settings, state, journal, run folders, isolation, sockets, clock, units.", CHECK_CODES
    )
    parser.add_argument("--socket", type=Path, metavar="PATH", help="the daemon's socket, in place of the usual one")
    parser.add_argument("-q", "--quiet", action="store_true", help="only what is not well")
    typed = parser.parse_args(arguments)
    from tiphys.care import checking, finding
    from tiphys.service import locations

    try:
        loaded = wiring.load()
    except InvalidSettings as mistake:
        found = [finding.error(line, "correct the settings file; nothing else was looked at") for line in str(mistake).splitlines()]
    else:
        path = typed.socket or locations.client_socket_path(loaded.settings.daemon, wiring.environ, wiring.home, root=wiring.root)
        found = checking.check(loaded, _state(typed.state, wiring, loaded), path, wiring.environ)
    shown = [one for one in found if not typed.quiet or one.severity is not finding.Severity.OK]
    sys.stdout.write("".join(f"{line}\n" for line in finding.lines(shown)))
    return finding.exit_code(found)


def run_backup(arguments: Sequence[str], wiring: Wiring) -> int:
    """`tiphysd backup FILE`: copy the journal while the daemon runs."""
    from tiphys.care import backup

    about = f"Copy the journal, also while the daemon runs. The copy is verified. {backup.NOT_PART}"
    parser = _parser("backup", about, BACKUP_CODES)
    parser.add_argument("file", type=Path, metavar="FILE", help="where the copy goes")
    parser.add_argument("--force", action="store_true", help="replace the file that is there")
    typed = parser.parse_args(arguments)

    def copy() -> None:
        contents = backup.backup(_state(typed.state, wiring, wiring.load()), typed.file, force=typed.force)
        sys.stdout.write(f"{typed.file}: a verified copy of the journal ({contents.summary}).\n{backup.NOT_PART}\n")

    return _guarded(copy)


def run_restore(arguments: Sequence[str], wiring: Wiring) -> int:
    """`tiphysd restore FILE`: put a copy of the journal back; the daemon must not run."""
    from tiphys.care import restoring

    about = f"Put a copy of the journal back in place. The daemon must not run; the present journal is kept.\n\n{restoring.WHAT_FOLLOWS}"
    parser = _parser("restore", about, BACKUP_CODES)
    parser.add_argument("file", type=Path, metavar="FILE", help="a copy that `tiphysd backup` made")
    typed = parser.parse_args(arguments)

    def put_back() -> None:
        state = _state(typed.state, wiring, wiring.load())
        made = restoring.restore(typed.file, state)
        until = f"; its newest entry is of {made.made_at:%Y-%m-%d %H:%M:%S} UTC" if made.made_at else ""
        sys.stdout.write(f"{state}: the journal is now the copy {typed.file} ({made.contents.summary}){until}.\n")
        if made.kept is not None:
            sys.stdout.write(f"The one before is kept as {made.kept}.\n")
        sys.stdout.write(f"{restoring.WHAT_FOLLOWS}\n")

    return _guarded(put_back)


def run_token(arguments: Sequence[str], wiring: Wiring) -> int:
    """`tiphysd token create|list|revoke`: who may come in over the network."""
    from tiphys.care import tokening

    parser = _parser("token", tokening.ABOUT, BACKUP_CODES)
    tokening.options(parser)
    typed = parser.parse_args(arguments)

    def act() -> None:
        loaded = wiring.load()
        sys.stdout.write(tokening.done(typed, loaded.settings.server, _state(typed.state, wiring, loaded)))

    return _guarded(act)


SUBCOMMANDS: Mapping[str, Run] = {"check": run_check, "backup": run_backup, "restore": run_restore, "token": run_token}
SUMMARIES: Mapping[str, str] = {
    "check": "look whether all is well: settings, state, isolation, sockets, clock",
    "backup": "copy the journal, also while the daemon runs",
    "restore": "put such a copy back in place",
    "token": "make, list and revoke the tokens of those who come over the network",
}
CHECK_CODES = "Exit codes: 0 all is well (there may be warnings), 1 there are errors, 2 bad usage, 78 the stored state is refused."
BACKUP_CODES = "Exit codes: 0 done, 1 it could not be done, 2 bad usage or settings, 78 the journal or the copy is refused."


def _parser(name: str, about: str, codes: str) -> argparse.ArgumentParser:
    first, *rest = about.split("\n\n")
    described = "\n\n".join([textwrap.fill(first, WIDTH), *rest])
    parser = argparse.ArgumentParser(
        prog=f"tiphysd {name}", description=described, epilog=codes, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="the state directory, in place of the settings'")
    return parser


def _state(typed: Path | None, wiring: Wiring, loaded: Configuration) -> Path:
    from tiphys import configuration

    return (typed or configuration.state_directory(loaded.settings, wiring.environ, wiring.home, root=wiring.root)).absolute()


def _guarded(act: Callable[[], None]) -> int:
    """Do it; the exit code."""
    try:
        act()
    except TiphysError as error:
        sys.stderr.write(f"tiphysd: {error}\n")
        if isinstance(error, StateRefused):
            return STATE_REFUSED
        return BAD_INPUT if isinstance(error, InvalidSettings) else WRONG
    return CLEAN
