"""Is all well with a daemon's state and with the machine it is to run on? Looks at everything, changes nothing, disturbs no daemon."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from tiphys.care import clock, configured, directories, entering, fencing, listening, owner, places, units, verifying
from tiphys.care.finding import Found, error, ok, refusal, warning
from tiphys.care.host import Host
from tiphys.care.owner import Owner
from tiphys.care.verifying import Contents
from tiphys.configuration import Configuration
from tiphys.errors import StateRefused


def check(loaded: Configuration, state: Path, socket: Path, environ: Mapping[str, str], host: Host | None = None) -> list[Found]:
    """Everything there is to say, good and bad. A running daemon is not disturbed, and its lock not taken."""
    machine = host or Host()
    settings = loaded.settings
    whose = owner.of_state(state)
    found = [*_looked("settings", lambda: configured.check(loaded, socket, whose)), *directories.state(state, whose, machine)]
    if not directories.accessible(state, whose):
        return found
    names = directories.run_folders(state)  # before the journal: a folder that is made meanwhile is no unknown one
    written, contents = journal(state, whose)
    uids = contents.uids if contents is not None and not contents.wrong else None
    newest = contents.newest if contents is not None else None
    found += _looked("directories", lambda: directories.others(state, settings, whose))
    found += [*directories.space(state, settings), *written]
    found += _looked("run folders", lambda: directories.runs(state, names, uids, whose))
    if settings.executor == "process":
        found += _looked("isolation", lambda: fencing.check(settings.process, whose, environ, machine))
        found += _looked("launcher", lambda: listening.launcher(state, environ, whose, machine))
    found += _looked("network", lambda: entering.check(settings.server, state, whose))
    found += _looked("socket", lambda: listening.control(socket, places.holder(places.journal(state))))
    found += [*clock.check(newest, machine), *configured.zones(settings, environ)]
    found += _looked("systemd", lambda: units.check(state, environ, whose, machine))
    return found


def _looked(name: str, look: Callable[[], list[Found]]) -> list[Found]:
    """What a look finds; where it may not look, it says so."""
    try:
        return look()
    except OSError as reason:
        what = f"{name}: {reason.filename or 'something'} cannot be looked at ({reason.strerror})"
        return [error(what, "run this as root, or see who may get into the folders above it")]


def journal(state: Path, whose: Owner) -> tuple[list[Found], Contents | None]:
    """The database: findings, and what is in it where that could be read."""
    path = places.journal(state)
    try:
        mode = path.stat()
    except FileNotFoundError:
        return [ok(f"journal: there is none yet at {path}; the daemon makes it")], None
    except OSError as reason:
        return [error(f"journal {path}: cannot be looked at ({reason.strerror})", "run this as root or as the daemon's user")], None
    if not os.access(path, os.R_OK):
        return [error(f"journal {path}: you may not read it", "run this as root or as the daemon's user")], None
    holder = places.holder(path)
    used = f"; in use by process {holder}, read while it works" if holder is not None else "; no daemon has it in use"
    found = _rights(path, mode, whose)
    try:
        contents = verifying.examined(path)
    except StateRefused as why:
        what, _, cure = str(why).removeprefix(f"{path}: ").partition(". ")
        return [*found, refusal(f"journal {path}: {what}", cure or "see that it is a file this user may read")], None
    if contents.wrong:
        return [*found, refusal(f"journal {path}: it is damaged ({contents.damage}){used}", verifying.cure(path))], contents
    looked = "the structure (quick_check, for it is large)" if contents.quick else "the structure (integrity_check)"
    return [*found, ok(f"journal: {path}, {contents.summary}; {looked} and every row's checksum are right{used}")], contents


def _rights(path: Path, found: os.stat_result, whose: Owner) -> list[Found]:
    """Who may read and write the database and what is beside it."""
    made = []
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        made.append(warning(f"journal {path}: others than its owner may read it (mode {mode:o})", f"`chmod 600 {path}`"))
    beside = (path, *(places.beside(path, suffix) for suffix in ("-wal", "-shm", ".lock")))
    foreign = [one.name for one in beside if one.exists() and one.stat().st_uid != whose.uid]
    if foreign and whose.uid != 0:
        named = " ".join(str(path.with_name(name)) for name in foreign)
        made.append(
            error(
                f"journal: {', '.join(foreign)} not {whose.name}'s, so the daemon cannot open it", f"as root: `chown {whose.name} {named}`"
            )
        )
    return made
