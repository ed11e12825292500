"""Who asks: the user at the other end of the Unix socket, as the kernel says; over the network the bearer of a token."""

import os
import pwd
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

import anyio.to_thread
from aiohttp import web

from tiphys.service.tokens import Scope, Token

CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
PEER_GROUPS = getattr(socket, "SO_PEERGROUPS", 59)
MOST_GROUPS = 256  # Python gives getsockopt no more room


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Somebody who asks. `who` is written down with what they change."""

    subject: str
    name: str
    who: str
    scope: Scope
    token: Token | None = None


ASKER = web.RequestKey("asker", Asker)


def bearer(token: Token) -> Asker:
    """Who shows a token."""
    return Asker(subject=f"token:{token.name}", name=token.name, who=f"token:{token.name}", scope=token.scope, token=token)


ANYBODY = Asker(subject="loopback", name="", who="loopback", scope=Scope.ADMIN)
"""Who comes without a token where none is asked for."""


class Peers:
    """Finds out who is at the other end of a Unix socket; a user's name is looked up once."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    async def local(self, request: web.Request, groups: Collection[int] = ()) -> Asker | None:
        """Who sent a request over a Unix socket: root, our own user or a member of `groups`; None: somebody else."""
        found = request.get_extra_info("socket")
        if found is None or found.family != socket.AF_UNIX:
            return None
        _, uid, gid = CREDENTIALS.unpack(found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
        if uid not in self._names:
            self._names[uid] = await anyio.to_thread.run_sync(_name, uid)
        if uid not in {0, os.geteuid()} and not {gid, *_groups(found)}.intersection(groups):
            return None
        name = self._names[uid]
        return Asker(subject=f"uid:{uid}", name=name, who=name, scope=Scope.ADMIN)

    async def who(self, request: web.Request) -> str:
        """Who is written down as having asked."""
        asker = asking(request)
        return "" if asker is None else asker.who


def asking(request: web.Request) -> Asker | None:
    """Who was admitted with a request."""
    return request.get(ASKER)


def _groups(found: socket.socket) -> tuple[int, ...]:
    """The groups that a peer was in besides its first when it connected."""
    try:
        data = found.getsockopt(socket.SOL_SOCKET, PEER_GROUPS, 4 * MOST_GROUPS)
    except OSError:  # an old kernel, or more groups than there is room for
        return ()
    return struct.unpack(f"{len(data) // 4}I", data)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
