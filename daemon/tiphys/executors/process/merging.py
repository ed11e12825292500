"""A folder of which the host has one part and the step's overlay the other, put together as the step saw it."""

# The overlay is unmounted when a step's outputs are collected, so its rules are applied here: the upper side wins, a character device
# 0/0 hides what is below it, an "opaque" folder hides all that is below it.

import os
import shutil
import stat
from pathlib import Path

OPAQUE = "trusted.overlay.opaque"


def is_whiteout(found: os.stat_result) -> bool:
    """Whether an entry of the upper side means that the step deleted what is below."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_mixed(upper: Path, lower: Path) -> bool:
    """Whether the step saw entries of both sides in this folder."""
    try:
        if not stat.S_ISDIR(upper.lstat().st_mode) or not stat.S_ISDIR(lower.lstat().st_mode):
            return False
        return OPAQUE not in os.listxattr(upper) or os.getxattr(upper, OPAQUE) != b"y"
    except OSError:
        return False


def merge(upper: Path, lower: Path, target: Path) -> None:
    """Copy what the step saw of a mixed folder to `target`, replacing it. Sockets and devices of the host are left out."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    _merge(upper, lower, target)


def _merge(upper: Path, lower: Path, target: Path) -> None:
    target.mkdir()
    shutil.copystat(upper, target)
    above = {path.name: path for path in upper.iterdir()}
    for name in {*above, *(path.name for path in lower.iterdir())}:
        if name not in above:
            _copy(lower / name, target / name)
        elif is_mixed(above[name], lower / name):
            _merge(above[name], lower / name, target / name)
        elif not is_whiteout(above[name].lstat()):
            _copy(above[name], target / name)


def _copy(source: Path, target: Path) -> None:
    mode = source.lstat().st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(mode):
        shutil.copy2(source, target)
    elif stat.S_ISDIR(mode):
        target.mkdir()
        shutil.copystat(source, target)
        for path in source.iterdir():
            _copy(path, target / path.name)
