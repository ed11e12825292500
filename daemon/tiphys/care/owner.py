"""Whose daemon it is. Root may check a daemon that runs as another user, and must then see the machine as that user does."""

import grp
import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The user that the daemon runs as."""

    uid: int
    gid: int
    name: str
    home: Path

    @property
    def other(self) -> bool:
        """Whether it is not who we are."""
        return self.uid != os.geteuid()

    def run(self, argv: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
        """Run a program as this user, if we may; its exit code, and what it said on standard error."""
        try:
            if os.geteuid() == 0 and self.other:
                groups = os.getgrouplist(self.name, self.gid) if not self.name.isdigit() else [self.gid]
                made = subprocess.run(  # noqa: S603 (the caller's own words, no shell)
                    argv,
                    env=dict(environ),
                    cwd="/",
                    capture_output=True,
                    timeout=TIMEOUT_SECONDS,
                    check=False,
                    user=self.uid,
                    group=self.gid,
                    extra_groups=groups,
                )
            else:
                made = subprocess.run(argv, env=dict(environ), cwd="/", capture_output=True, timeout=TIMEOUT_SECONDS, check=False)  # noqa: S603 (as above)
        except subprocess.TimeoutExpired:
            return 124, f"it did not end within {TIMEOUT_SECONDS:.0f} s"
        except OSError as error:
            return 126, f"{argv[0]}: {error.strerror}"
        return made.returncode, made.stderr.decode(errors="replace").strip()

    def may(self, access: int, path: Path) -> bool:
        """Whether this user may read (`os.R_OK`) or write (`os.W_OK`) there."""
        if os.geteuid() != 0 or not self.other:
            return os.access(path, access, effective_ids=True)
        return self.run(["/usr/bin/test", "-w" if access == os.W_OK else "-r", str(path)], {})[0] == 0


def user(uid: int, gid: int) -> Owner:
    """The user with this number, which need not have a name."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Owner(uid=uid, gid=gid, name=str(uid), home=Path("/"))
    return Owner(uid=uid, gid=found.pw_gid, name=found.pw_name, home=Path(found.pw_dir))


def of_state(state: Path) -> Owner:
    """Who owns the state directory; we ourselves where there is none yet."""
    try:
        found = state.stat()
    except OSError:
        return user(os.geteuid(), os.getegid())
    return user(found.st_uid, found.st_gid)


def group_name(gid: int) -> str:
    """A group's name, or its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
