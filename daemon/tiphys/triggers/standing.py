"""Definitions that files give as long as they lie in the folder: put in force, changed, and withdrawn with the file."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog
from anyio import CapacityLimiter, to_thread

from tiphys.triggers import names
from tiphys.triggers.claims import Claims
from tiphys.triggers.looking import Stamp
from tiphys.triggers.port import Busy, Daemon, Rejected
from tiphys.triggers.told import Told
from tiphys.triggers.verdicts import Defined

log = structlog.get_logger()

STILL = "The definitions that this file gave before stay in force until it is corrected or removed."
NONE = "None of its definitions is in force; it is looked at again when it changes."


@dataclass(frozen=True, kw_only=True)
class Look:
    """What came of the last look at a file. `beside`: of a bad one, what was in force then; it may be good beside other definitions."""

    stamp: Stamp
    beside: int | None = None
    why: str = ""


class Standing:
    """The files that define things."""

    def __init__(self, daemon: Daemon, claims: Claims, told: Told, threads: CapacityLimiter) -> None:
        self._daemon = daemon
        self._claims = claims
        self._told = told
        self._threads = threads
        self._looks: dict[str, Look] = {}
        self._missing: dict[str, float] = {}

    def sources(self) -> Mapping[str, str]:
        """The digests of what is in force from files, by source."""
        return {source: digest for source, digest in self._daemon.definition_sources().items() if source.startswith(names.SOURCES)}

    def settled(self, name: str, stamp: Stamp, beside: int) -> bool:
        """Whether a look at the file as it is would tell nothing new."""
        look = self._looks.get(name)
        return look is not None and look.stamp == stamp and look.beside in (None, beside)

    def has(self, name: str) -> bool:
        """Whether the file is one that defines things, as far as was seen."""
        return name in self._looks

    def stale(self) -> list[str]:
        """The bad files that may be good by now, since other definitions are in force than at the last look."""
        beside = self.beside()
        return [name for name, look in self._looks.items() if look.beside not in (None, beside)]

    def beside(self) -> int:
        """A number that differs when other definitions are in force."""
        return hash(frozenset(self._daemon.definition_sources().items()))

    async def good(self, name: str, stamp: Stamp) -> None:
        """What the file says is in force."""
        try:
            await to_thread.run_sync(self._claims.unreport, name, limiter=self._threads)
        except OSError as error:
            self._told.once(f"report {name}", "report not removed", file=names.shown(name), reason=error.strerror)
        self._looks[name] = Look(stamp=stamp)

    async def define(self, name: str, defined: Defined) -> str | None:
        """Put definitions in force; why they were refused ("" for now, None if they were not)."""
        try:
            await self._daemon.define(defined.documents, source=names.source(name), digest=defined.digest)
        except Rejected as error:
            return str(error)
        except Busy as error:
            self._told.once("busy", "definitions and submissions wait", reason=str(error))
            return ""
        self._told.over("busy")
        log.info("definitions taken", file=names.shown(name), documents=len(defined.documents))
        return None

    async def bad(self, name: str, stamp: Stamp, why: str) -> None:
        """Say beside the file what is wrong with it."""
        text = f"{why}\n\n{STILL if names.source(name) in self._daemon.definition_sources() else NONE}\n"
        before = self._looks.get(name)
        if before is None or before.why != text:
            try:
                await to_thread.run_sync(self._claims.report, name, text, limiter=self._threads)
            except OSError as error:
                self._told.once("report", "report not written", file=names.shown(name), reason=error.strerror)
                return
            self._told.over("report")
            log.warning("definitions refused", file=names.shown(name), why=why.split("\n", 1)[0])
        self._looks[name] = Look(stamp=stamp, beside=self.beside(), why=text)

    def absent(self, present: Collection[str]) -> set[str]:
        """The names of the files that gave definitions and are not among those present."""
        here = {names.source(name) for name in present}
        return {source.removeprefix(names.SOURCES) for source in self.sources() if source not in here}

    def returned(self, present: Collection[str]) -> None:
        """These are there."""
        for name in present:
            self._missing.pop(names.shown(name), None)

    def missed(self, name: str, now: float) -> float:
        """For how many seconds the file is known to be missing."""
        return now - self._missing.setdefault(names.shown(name), now)

    async def withdraw(self, name: str) -> None:
        """The file is gone, and its definitions with it."""
        try:
            await self._daemon.undefine(names.SOURCES + names.shown(name))
        except Busy as error:
            self._told.once("busy", "definitions and submissions wait", reason=str(error))
            return
        self._missing.pop(names.shown(name), None)
        log.info("definitions withdrawn", file=names.shown(name))

    def keep(self, present: Collection[str]) -> None:
        """Forget the looks at other files."""
        for name in self._looks.keys() - set(present):
            del self._looks[name]

    async def tidy(self, orphans: Collection[str]) -> None:
        """Remove the reports on files that are gone."""
        for name in orphans:
            try:
                await to_thread.run_sync(self._claims.unreport, name, limiter=self._threads)
            except OSError as error:
                self._told.once(f"report {name}", "report not removed", file=names.shown(name), reason=error.strerror)
