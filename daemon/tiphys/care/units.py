"""systemd's units, where they are installed: whether they start with the machine, and what they start is there."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tiphys.care import places
from tiphys.care.finding import Found, error, ok, warning
from tiphys.care.host import Host
from tiphys.care.owner import Owner

DAEMON, LAUNCHER = "tiphysd.service", "tiphys-launcher.service"
STARTS = re.compile(r"^ExecStart=[-@:+!]*(\S+)", re.MULTILINE)
USER = re.compile(r"^User=(\S+)", re.MULTILINE)
ROOT = re.compile(r"^ExecStart=.*--root (\S+)", re.MULTILINE)


def check(state: Path, environ: Mapping[str, str], whose: Owner, host: Host) -> list[Found]:
    """The system's units, if they are this daemon's; else the user's."""
    system = _first(host.units, DAEMON)
    if system is not None and _users(system, host.units) == whose.name:
        return _whole([*_starts(system), *_enabled(host.units), *_launcher(state, host)], "the machine", system)
    config = environ.get("XDG_CONFIG_HOME", "") if not whose.other else ""
    own = (Path(config) if config.startswith("/") else whose.home / ".config") / "systemd" / "user"
    unit = _first((own, *host.user_units), DAEMON)
    if unit is not None and (unit.parent == own or _wanted((own,))):
        return _whole([*_starts(unit), *_user_enabled(own), *_lingers(whose, host)], whose.name, unit)
    return [ok(f"systemd: no unit of {whose.name}'s daemon is installed")]


def _whole(wrong: list[Found], whom: str, unit: Path) -> list[Found]:
    return wrong or [ok(f"systemd: {unit} starts the daemon with {whom}")]


def _first(folders: Iterable[Path], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _text(unit: Path, folders: Iterable[Path] = ()) -> str:
    """A unit with its drop-ins."""
    parts = [unit, *(part for folder in folders for part in sorted((folder / f"{unit.name}.d").glob("*.conf")))]
    made = []
    for part in parts:
        try:
            made.append(part.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return "\n".join(made)


def _users(unit: Path, folders: Iterable[Path]) -> str:
    """The user a unit runs as."""
    named: list[str] = USER.findall(_text(unit, folders))
    return named[-1] if named else "root"


def _starts(unit: Path) -> Iterator[Found]:
    for program in STARTS.findall(_text(unit)):
        if program.startswith("/") and not Path(program).exists():
            yield error(
                f"systemd: {unit} starts {program}, which is not there", "install anew: `make install`, then `systemctl daemon-reload`"
            )


def _wanted(folders: Iterable[Path]) -> bool:
    return any(True for folder in folders for _ in folder.glob(f"*.wants/{DAEMON}"))


def _enabled(folders: tuple[Path, ...]) -> Iterator[Found]:
    if not _wanted(folders):
        yield warning(
            f"systemd: {DAEMON} is installed, but does not start with the machine",
            "`systemctl enable --now tiphysd.socket tiphys-launcher tiphysd`",
        )


def _launcher(state: Path, host: Host) -> Iterator[Found]:
    unit = _first(host.units, LAUNCHER)
    if unit is None:
        yield error(f"systemd: {DAEMON} is installed without {LAUNCHER}, so no step can start", "`make install`, `systemctl daemon-reload`")
        return
    yield from _starts(unit)
    wanted = state / places.ATTEMPTS
    for root in ROOT.findall(_text(unit, host.units))[-1:]:
        if Path(root) != wanted:
            yield error(
                f"systemd: {LAUNCHER} keeps attempts in {root}, and the daemon looks for them in {wanted}",
                f"`systemctl edit {LAUNCHER}`, and give it --root {wanted}; or set state_directory to {Path(root).parent}",
            )


def _user_enabled(own: Path) -> Iterator[Found]:
    if not _wanted((own,)):
        yield warning(
            f"systemd: {DAEMON} is installed for you, but does not start by itself",
            "`systemctl --user enable --now tiphysd.socket tiphysd`",
        )


def _lingers(whose: Owner, host: Host) -> Iterator[Found]:
    if not (host.lingers / whose.name).exists():
        yield warning(
            f"systemd: {whose.name} does not linger, so the daemon and its steps end when {whose.name} logs out",
            f"`loginctl enable-linger {whose.name}`",
        )
