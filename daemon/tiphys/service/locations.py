"""Where the daemon's socket is: the daemon and its clients must come to the same answer."""

from collections.abc import Mapping
from pathlib import Path

from tiphys.settings import DaemonSettings

SYSTEM_SOCKET = Path("/run/tiphys/api.sock")
NAME = "api.sock"


def socket_path(settings: DaemonSettings, environ: Mapping[str, str], home: Path, *, root: bool) -> Path:
    """The setting, else in $RUNTIME_DIRECTORY (systemd's; its first), else root's place, else in $XDG_RUNTIME_DIR.

    A user without that, as in a cron job, has the socket in $XDG_STATE_HOME.
    """
    if settings.socket:
        return Path(settings.socket).expanduser()
    if environ.get("RUNTIME_DIRECTORY"):
        return Path(environ["RUNTIME_DIRECTORY"].split(":", 1)[0]) / NAME
    if root:
        return SYSTEM_SOCKET
    base = _absolute(environ, "XDG_RUNTIME_DIR") or _absolute(environ, "XDG_STATE_HOME") or home / ".local" / "state"
    return base / "tiphys" / NAME


def client_socket_path(settings: DaemonSettings, environ: Mapping[str, str], home: Path, *, root: bool) -> Path:
    """Where a client looks: the same place; or the system's daemon, where this machine has one and the user has none of their own."""
    own = socket_path(settings, environ, home, root=root)
    chosen = settings.socket or environ.get("RUNTIME_DIRECTORY") or root
    return own if chosen or own.exists() or not SYSTEM_SOCKET.parent.is_dir() else SYSTEM_SOCKET


def _absolute(environ: Mapping[str, str], variable: str) -> Path | None:
    """A base directory; the XDG rules ignore a relative one."""
    value = environ.get(variable, "")
    return Path(value) if value.startswith("/") else None
