"""What every handler needs, kept with the aiohttp application."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anyio
from aiohttp import web

from tiphys.engine.house import House
from tiphys.server.albums import Albums
from tiphys.server.guard import Guard
from tiphys.server.hub import Hub
from tiphys.server.peers import Peers
from tiphys.settings import LimitSettings
from tiphys.spec.work import Handle, Moment
from tiphys.spec.workflows import CronWorkflow, Document


def as_it_is(document: Document) -> Document:
    """Nothing lies below a workflow."""
    return document


def unknown(cron: CronWorkflow) -> datetime | None:
    """Nobody knows when a schedule comes next."""
    del cron
    return None


Printed = Callable[[Sequence[Handle]], Awaitable[Sequence[bytes | None]]]
"""What finished attempts of one executor printed, of many at once; None: not found this way."""

Timed = Callable[[Sequence[Handle]], Awaitable[Sequence[Sequence[Moment]]]]
"""When attempts of one executor, running or ended, printed what they did."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The house that is served, and what belongs to serving it. `adjust` gives a document as it will be with the settings' defaults below
    it, `next_run` when a schedule comes next. `stalls`: how often the event loop was held up. `printed`, by executor, are short ways to
    what many attempts printed, `timed` to when they did. `stopping` is set when streams must end.
    """

    house: House
    version: str
    albums: Albums
    hub: Hub
    limits: LimitSettings = field(default_factory=LimitSettings)
    adjust: Callable[[Document], Document] = as_it_is
    next_run: Callable[[CronWorkflow], datetime | None] = unknown
    stalls: Callable[[], dict[str, float]] = dict
    printed: Mapping[str, Printed] = field(default_factory=dict)
    timed: Mapping[str, Timed] = field(default_factory=dict)
    peers: Peers = field(default_factory=Peers)
    guard: Guard = field(default_factory=Guard)
    stopping: anyio.Event = field(default_factory=anyio.Event)
    defining: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while definitions are looked at and changed."""


KEY = web.AppKey("context", Context)


def of(request: web.Request) -> Context:
    """The context of a request."""
    return request.app[KEY]
