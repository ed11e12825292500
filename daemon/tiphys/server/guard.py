"""The door: who asks, whether they may, how often, and for how long. Every request comes through here before its handler."""

import ipaddress
import math
import ssl
import time
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from tiphys.server import browsers, peers, scopes
from tiphys.server.peers import ANYBODY, Asker, Peers
from tiphys.server.problems import Problem
from tiphys.server.rates import Rates
from tiphys.service import entrances
from tiphys.service.tokens import Tokens
from tiphys.settings import ServerSettings

LOOK_SECONDS = 1.0
"""How often it is looked whether the tokens of streams still stand."""

HEADERS = web.RequestKey("headers", dict[str, str])
SCOPE = web.RequestKey("scope", anyio.CancelScope)
RESPONSE = web.RequestKey("response", web.StreamResponse)
FETCHING = ("/artifacts/", "/artifacts-by-uid/", "/artifact-files/", "/input-artifacts/", "/input-artifacts-by-uid/")
"""What is brought from a store before an answer begins takes as long as it takes."""

NOT_VALID = "token not valid"
log = structlog.get_logger()


@dataclass(kw_only=True)
class Guard:
    """What the door goes by. `groups`: whose members may use the Unix socket. Without `tokens` nobody comes in over the network."""

    settings: ServerSettings = field(default_factory=ServerSettings)
    tokens: Tokens | None = None
    tls: ssl.SSLContext | None = None
    groups: frozenset[int] = frozenset()
    peers: Peers = field(default_factory=Peers)
    _rates: Rates = field(default_factory=Rates)
    _going: dict[anyio.CancelScope, Asker] = field(default_factory=dict)
    _came: anyio.Event = field(default_factory=anyio.Event)

    _names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Know our own names. Raises InvalidSettings."""
        self.configure(self.settings)

    def configure(self, settings: ServerSettings) -> None:
        """Go by other settings from now on. Raises InvalidSettings."""
        self._names = tuple(one.host for one in entrances.addresses(settings.listen) if one.host not in entrances.ALL)
        self.settings = settings

    async def run(self) -> None:
        """End what goes on for those whose token is no longer valid; for ever."""
        while True:
            await self._came.wait()
            await anyio.sleep(LOOK_SECONDS)
            askers = {one.token.name: one for one in self._going.values() if one.token is not None}
            if not askers:
                self._came = anyio.Event()
            for asker in askers.values():
                if not await self._stands(asker):
                    log.info("token no longer valid", who=asker.who)
                    for scope in [scope for scope, one in self._going.items() if one.token == asker.token]:
                        scope.cancel()

    async def _stands(self, asker: Asker) -> bool:
        tokens, token = self.tokens, asker.token
        return token is None or (tokens is not None and await anyio.to_thread.run_sync(tokens.stands, token))

    async def judge(self, request: web.Request) -> Asker | None:
        """Who is admitted; None: anybody may ask this. Raises Problem."""
        over = _networked(request)
        browsers.judge(request, self.settings.origins, self._names, plain=over and self.tls is None)
        wanted = scopes.needed(request)
        asker = await self._asker(request)
        if over:
            self._rate(request, asker)
        if wanted is None or browsers.asks_first(request):
            return asker
        if asker is None:
            log.warning("not admitted", peer=_address(request), method=request.method, path=request.path)
            request[HEADERS] = {**request.get(HEADERS, {}), "WWW-Authenticate": "Bearer", "Connection": "close"}
            raise Problem(401, f"{NOT_VALID}; `tiphysd token create` makes one (Authorization: Bearer TOKEN)")
        scopes.judge(request, asker.scope, wanted)
        return asker

    async def _asker(self, request: web.Request) -> Asker | None:
        """Who asks: a user of the Unix socket, a token's bearer, or anybody where that is allowed."""
        if not _networked(request) and (local := await self.peers.local(request, self.groups)) is not None:
            return local
        shown = shown_token(request.headers.get("Authorization", ""))
        if shown and self.tokens is not None:
            found = await anyio.to_thread.run_sync(self.tokens.find, shown)
            return peers.bearer(found) if found is not None else None
        trusting = self.settings.insecure_loopback and self.tls is None and _networked(request)
        return ANYBODY if trusting and not shown else None

    def _rate(self, request: web.Request, asker: Asker | None) -> None:
        settings = self.settings
        if not settings.rate_per_second:
            return
        key = asker.subject if asker is not None and asker.token is not None else _address(request)
        taken = self._rates.take(key, time.monotonic(), settings.rate_per_second, settings.burst)
        told = {
            "X-Rate-Limit-Limit": str(settings.burst),
            "X-Rate-Limit-Remaining": str(taken.left),
            "X-Rate-Limit-Reset": str(math.ceil(time.time() + taken.full_after)),
        }
        if not taken.granted:
            told["Retry-After"] = str(math.ceil(taken.one_after))
        request[HEADERS] = told
        if not taken.granted:
            raise Problem(429, f"more than {settings.rate_per_second:g} requests a second; wait {told['Retry-After']} s")

    async def answered(self, request: web.Request, handler: Handler, asker: Asker | None) -> web.StreamResponse:
        """The handler's answer, if it begins in time; one that has begun goes on as long as who asked is welcome."""
        with anyio.move_on_after(None if request.path.startswith(FETCHING) else self.settings.request_seconds or None) as scope:
            request[SCOPE] = scope
            if asker is not None:
                self._going[scope] = asker
                if asker.token is not None:
                    self._came.set()
            try:
                return await handler(request)
            finally:
                self._going.pop(scope, None)
        begun: web.StreamResponse | None = request.get(RESPONSE)
        if begun is not None:  # cut off where it is: whoever reads must not take this for its end
            if request.transport is not None:
                request.transport.abort()
            return begun
        if asker is not None and not await self._stands(asker):
            raise Problem(401, NOT_VALID)
        raise Problem(504, f"no answer within {self.settings.request_seconds:g} s (server.request_seconds); it may still be done")


def shown_token(header: str) -> str:
    """The token of an Authorization header: after `Bearer`, or alone."""
    scheme, _, rest = header.strip().partition(" ")
    if not rest:
        return scheme if scheme.lower() != "bearer" else ""
    return rest.strip() if scheme.lower() == "bearer" else ""


def _networked(request: web.Request) -> bool:
    return isinstance(request.get_extra_info("peername"), tuple)


def _address(request: web.Request) -> str:
    """Whose bucket it is: an address, or the network of an IPv6 one, of which one machine has many."""
    peer = request.get_extra_info("peername")
    host = str(peer[0]) if isinstance(peer, tuple) else ""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return host if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
