"""The machine as a check sees it. Everything has its usual place; tests name others."""

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import tiphys

PROC_SYS = Path("/proc/sys")
MOUNTS = Path("/proc/self/mountinfo")
UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
USER_UNITS = ("/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Host:
    """`bwrap`: the program's name or path. `program`: a file that was installed with this program. The rest are the system's folders."""

    bwrap: str = "bwrap"
    proc_sys: Path = PROC_SYS
    mounts: Path = MOUNTS
    units: tuple[Path, ...] = tuple(map(Path, UNITS))
    user_units: tuple[Path, ...] = tuple(map(Path, USER_UNITS))
    lingers: Path = Path("/var/lib/systemd/linger")
    launchers: tuple[Path, ...] = (Path("/run/tiphys-launcher"),)
    container_signs: tuple[Path, ...] = (Path("/.dockerenv"), Path("/run/.containerenv"))
    program: Path = field(default_factory=lambda: Path(tiphys.__file__))
    now: datetime = field(default_factory=_now)

    @property
    def contained(self) -> bool:
        """Whether this machine is itself a container."""
        return any(sign.exists() for sign in self.container_signs)

    def sysctl(self, name: str) -> str | None:
        """A kernel setting, as `kernel.x` or `user.x`; None: this kernel has none of that name."""
        try:
            return self.proc_sys.joinpath(*name.split(".")).read_text(encoding="ascii").strip()
        except OSError:
            return None

    def file_system(self, path: Path) -> str:
        """The kind of the file system a path is on (`ext4`); "" where that cannot be found out."""
        try:
            lines = self.mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError:
            return ""
        kinds = {}
        for line in lines:
            front, _, back = line.partition(" - ")
            kinds[_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), front.split()[4])] = back.split()[0]
        place = os.path.realpath(path)
        while place not in kinds and place != "/":
            place = os.path.dirname(place)  # noqa: PTH120 (a text among texts)
        return kinds.get(place, "")
