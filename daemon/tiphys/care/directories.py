"""The state directory and what is below it: whose it is, who gets in, on which file system, how much room there is."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tiphys.care import owner, places
from tiphys.care.finding import Found, counted, error, ok, size, warning
from tiphys.care.host import Host
from tiphys.care.owner import Owner
from tiphys.executors.process.places import place
from tiphys.settings import Settings

LOST_AT_REBOOT = frozenset({"tmpfs", "ramfs", "rootfs"})
NETWORKS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse.glusterfs"})
MOST_SIZED = 200_000


def state(folder: Path, whose: Owner, host: Host) -> list[Found]:
    """The state directory itself."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return [_missing(folder)]
    except OSError as reason:
        return [error(f"state directory {folder}: cannot be looked into ({reason.strerror})", _as_user())]
    if not stat.S_ISDIR(found.st_mode):
        return [error(f"state directory {folder}: it is no directory", "move it away, or set state_directory to another place")]
    if not accessible(folder, whose):
        what = f"state directory {folder}: it is {whose.name}'s, and you are {owner.user(os.geteuid(), os.getegid()).name}"
        return [error(what, _as_user(whose.name))]
    wrong = [*_mode(folder, found), *_kind(folder, host), *_writable(folder, whose)]
    return wrong or [
        ok(f"state directory: {folder}, {whose.name}'s, mode {stat.S_IMODE(found.st_mode):o}, on {host.file_system(folder) or '?'}")
    ]


def accessible(folder: Path, whose: Owner) -> bool:
    """Whether we may look at all: as its owner, or as root; what is not there yet is nobody's."""
    try:
        folder.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return os.geteuid() in {0, whose.uid}


def _missing(folder: Path) -> Found:
    above = next(one for one in folder.absolute().parents if one.exists())
    if os.access(above, os.W_OK):
        return warning(f"state directory {folder}: it is not there yet", "nothing to do: the daemon makes it when it starts")
    return error(f"state directory {folder}: it is not there and cannot be made in {above}", "make it, or set state_directory elsewhere")


def _as_user(name: str = "") -> str:
    return f"run this as that user or as root: `sudo {f'-u {name} ' if name else ''}tiphysd check`"


def _mode(folder: Path, found: os.stat_result) -> Iterator[Found]:
    mode = stat.S_IMODE(found.st_mode)
    if mode & stat.S_IWOTH:
        yield error(f"state directory {folder}: everybody may write to it (mode {mode:o})", f"`chmod o-rwx {folder}`")
    elif mode & stat.S_IRWXO:
        yield warning(f"state directory {folder}: everybody gets in (mode {mode:o}); what steps leave is there", f"`chmod o-rwx {folder}`")


def _kind(folder: Path, host: Host) -> Iterator[Found]:
    kind = host.file_system(folder)
    if kind in NETWORKS:
        yield error(
            f"state directory {folder}: on {kind}, a network file system, the journal's locks do not hold and it can be damaged",
            "set state_directory to a local disk",
        )
    elif kind in LOST_AT_REBOOT:
        yield warning(f"state directory {folder}: on {kind}, which is lost when the machine restarts", "set state_directory to a disk")


def _writable(folder: Path, whose: Owner) -> Iterator[Found]:
    try:
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        read_only = 0
    if read_only:
        yield error(
            f"state directory {folder}: its file system is mounted read-only",
            "look in `dmesg` whether the disk failed, then `mount -o remount,rw`; or set state_directory elsewhere",
        )
    elif not whose.may(os.W_OK, folder):
        yield error(f"{folder}: {whose.name} may not write there", f"`chown {whose.name} {folder}; chmod u+rwx {folder}`")


def others(folder: Path, settings: Settings, whose: Owner) -> list[Found]:
    """The drop folder, and where artifacts are kept."""
    wanted = {"drop folder": Path(settings.drop.directory).expanduser() if settings.drop.directory else folder / places.DROP}
    if settings.artifacts.s3 is None:
        named = settings.artifacts.directory
        wanted["artifacts"] = Path(named).expanduser() if named else folder / places.ARTIFACTS
    found: list[Found] = []
    for name, path in wanted.items():
        found += _other(name, path, whose)
    return found


def _other(name: str, path: Path, whose: Owner) -> Iterator[Found]:
    if not path.exists():
        above = next(one for one in path.absolute().parents if one.exists())
        if not whose.may(os.W_OK, above):
            yield error(
                f"{name} {path}: it is not there, and {whose.name} cannot make it in {above}", f"make it, and `chown {whose.name} {path}`"
            )
        return
    if not path.is_dir():
        yield error(f"{name} {path}: it is no directory", "move it away, or set another place")
        return
    if not whose.may(os.W_OK, path):
        yield error(f"{name} {path}: {whose.name} may not write there", f"`chown {whose.name} {path}; chmod u+rwx {path}`")
        return
    if name == "drop folder":
        mode = path.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield warning(f"{name} {path}: everybody may replace everybody's files there", f"`chmod +t {path}`, or `chmod o-w {path}`")
            return
    yield ok(f"{name}: {path}")


def space(folder: Path, settings: Settings) -> list[Found]:
    """Free space where the state is, against what the daemon wants."""
    place_of = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        found = os.statvfs(place_of)
    except OSError as reason:
        return [error(f"the free space of {place_of} cannot be found out ({reason.strerror})", "look at the disk: `df`, `dmesg`")]
    free, least = found.f_bavail * found.f_frsize, settings.daemon.low_disk_bytes
    cure = f"free some (`du -xh {place_of} | sort -h | tail`; `retention` settings; `tiphys delete`), or set daemon.low_disk_bytes lower"
    if free < least:
        return [
            error(f"disk: {size(free)} free at {place_of}, less than daemon.low_disk_bytes ({size(least)}): no new work is taken", cure)
        ]
    if found.f_files and found.f_favail < 1000:
        return [error(f"disk: only {found.f_favail} more files fit on the file system of {place_of}", cure)]
    if free < 2 * least:
        return [warning(f"disk: {size(free)} free at {place_of}; below {size(least)} no new work is taken", cure)]
    return [ok(f"disk: {size(free)} free at {place_of}")]


def run_folders(folder: Path) -> frozenset[str] | None:
    """The names of the run folders there are; None: they cannot be listed."""
    try:
        with os.scandir(folder / places.ATTEMPTS) as entries:
            return frozenset(one.name for one in entries if one.is_dir(follow_symlinks=False) and not one.name.startswith("."))
    except FileNotFoundError:
        return frozenset()
    except OSError:
        return None


def runs(folder: Path, names: frozenset[str] | None, uids: frozenset[str] | None, whose: Owner) -> list[Found]:
    """What attempts left. `names`: the run folders as they were before the journal was read; `uids`: the runs in it (None: unknown)."""
    attempts = folder / places.ATTEMPTS
    if names is None:
        return [error(f"run folders: {attempts} cannot be listed", f"`chown -R {whose.name} {attempts}; chmod u+rwx {attempts}`")]
    if not attempts.exists():
        return [ok("run folders: there are none yet")]
    if not whose.may(os.W_OK, attempts):
        return [error(f"run folders: {whose.name} may not write to {attempts}", f"`chown {whose.name} {attempts}; chmod u+rwx {attempts}`")]
    wrong = list(_foreign(attempts, names, whose))
    if uids is not None and (unknown := names - {place(f"{uid}/").group for uid in uids}):
        wrong.append(_unknown(attempts, sorted(unknown)))
    return wrong or [ok(f"run folders: {counted(len(names), 'folder')} in {attempts}")]


def _unknown(attempts: Path, names: list[str]) -> Found:
    """Folders of runs that the journal does not have."""
    taken, whole = _size([attempts / name for name in names])
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    what = f"{counted(len(names), 'folder')} in {attempts} of no known workflow ({shown}), {'' if whole else 'over '}{size(taken)}"
    return warning(
        f"run folders: {what}", "nothing to do: the daemon deletes them when it starts next; save before what you still need of them"
    )


def _foreign(attempts: Path, names: frozenset[str], whose: Owner) -> Iterator[Found]:
    """Folders that are another user's: root's, from a daemon that was once started by hand."""
    foreign = []
    for name in names:
        try:
            if (attempts / name).lstat().st_uid != whose.uid:
                foreign.append(name)
        except OSError:
            continue
    if foreign and whose.uid != 0:
        what = f"run folders: {counted(len(foreign), 'folder')} in {attempts} not {whose.name}'s ({', '.join(sorted(foreign)[:3])})"
        yield error(f"{what}; nothing can be written or deleted there", f"`chown -R {whose.name} {attempts}` while no step runs")


def _size(folders: list[Path]) -> tuple[int, bool]:
    """The bytes in folders, and whether all files were counted."""
    taken, seen = 0, 0
    for folder in folders:
        for top, _, files in os.walk(folder):
            for name in files:
                try:
                    taken += os.lstat(os.path.join(top, name)).st_blocks * 512  # noqa: PTH118 (there may be a great many)
                except OSError:
                    continue
                seen += 1
                if seen >= MOST_SIZED:
                    return taken, False
    return taken, True
