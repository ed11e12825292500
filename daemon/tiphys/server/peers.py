"""Who asks: the user at the other end of the Unix socket, as the kernel says."""

import pwd
import socket
import struct
from dataclasses import dataclass

import anyio.to_thread
from aiohttp import web

CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A user of this machine."""

    uid: int
    name: str


class Peers:
    """Finds out who asks; a user's name is looked up once."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    async def peer(self, request: web.Request) -> Peer | None:
        """Who sent a request; None where that cannot be known (not a Unix socket)."""
        found = request.get_extra_info("socket")
        if found is None or found.family != socket.AF_UNIX:
            return None
        _, uid, _ = CREDENTIALS.unpack(found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
        if uid not in self._names:
            self._names[uid] = await anyio.to_thread.run_sync(_name, uid)
        return Peer(uid=uid, name=self._names[uid])

    async def who(self, request: web.Request) -> str:
        """Who is written down as having asked."""
        peer = await self.peer(request)
        return "" if peer is None else peer.name


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
