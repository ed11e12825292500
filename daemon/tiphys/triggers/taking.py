"""Files that are consumed: claimed, submitted, put away. Each step is done again after a crash, and none twice."""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import anyio
import structlog
from anyio import CapacityLimiter, to_thread

from tiphys import faults
from tiphys.triggers import names
from tiphys.triggers.candidates import Judged
from tiphys.triggers.claims import Claim, Claims
from tiphys.triggers.port import Busy, Daemon, Rejected
from tiphys.triggers.told import Told
from tiphys.triggers.verdicts import Bad, Defined, Work

log = structlog.get_logger()

REPLACED = "{name}: error: it holds definitions, and took the place of a workflow just when that was taken; put it into the folder again"
AGAIN = "\n\nCorrect the file and put it into the folder again.\n"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Where a claim goes: to the rejected with `why`, or to the accepted."""

    claim: Claim
    why: str = ""
    uids: Sequence[str] = ()


class Taking:
    """Consumes files. `busy`: the daemon takes nothing now."""

    def __init__(self, daemon: Daemon, claims: Claims, told: Told, threads: CapacityLimiter) -> None:
        self._daemon = daemon
        self._claims = claims
        self._told = told
        self._threads = threads
        self.busy = False
        self.troubled = False

    def begin(self) -> None:
        """A sweep begins: what did not go before may go now."""
        self.busy = self.troubled = False

    def end(self) -> None:
        """A sweep is over: a trouble that it did not meet is gone."""
        if not self.troubled:
            self._told.keep("files ", set())

    async def take(self, found: Sequence[Judged]) -> None:
        """Consume files of the drop folder that were judged good, or bad for good."""
        claimed = await to_thread.run_sync(self._claim, found, limiter=self._threads)
        faults.point("claimed")
        await self.settle(claimed)

    def _claim(self, found: Sequence[Judged]) -> list[tuple[Claim, Work | Bad]]:
        claimed = []
        for one in found:
            try:
                claim = self._claims.take(one.name, one.parameters)
                if one.stamp is None or not self._claims.is_as_judged(claim, one.stamp):
                    continue  # something else by now: the next sweep looks at it where it is
            except FileNotFoundError:
                continue  # it went away
            except OSError as error:
                self._trouble(error, one.name)
                continue
            if isinstance(one.verdict, Work | Bad):
                claimed.append((claim, one.verdict))
        return claimed if self._sync(lambda: self._claims.sync(self._claims.claimed, self._claims.folder)) else []

    async def settle(self, claimed: Sequence[tuple[Claim, Work | Bad | Defined]]) -> None:
        """Submit what was claimed, all of it at once, and put it away."""
        endings: list[Ending] = []
        async with anyio.create_task_group() as group:
            for claim, verdict in claimed:
                group.start_soon(self._end, claim, verdict, endings)
        await self.put_away(endings)

    async def _end(self, claim: Claim, verdict: Work | Bad | Defined, endings: list[Ending]) -> None:
        match verdict:
            case Work():
                endings += await self._submit(claim, verdict)
            case Bad():
                endings.append(Ending(claim=claim, why=verdict.why))
            case Defined():
                endings.append(Ending(claim=claim, why=REPLACED.format(name=names.shown(claim.name))))
            case _:
                assert_never(verdict)

    async def _submit(self, claim: Claim, work: Work) -> list[Ending]:
        """What became of a submission; nothing where it has to wait."""
        source = names.source(claim.name)
        try:
            uids = await self._daemon.submit(work.documents, key=claim.key, source=source, parameters=work.parameters)
        except Rejected as error:
            return [Ending(claim=claim, why=f"{names.shown(claim.name)}: error: {error}")]
        except Busy as error:
            self.busy = True
            self._told.once("busy", "definitions and submissions wait", reason=str(error))
            return []
        self._told.over("busy")
        faults.point("submitted")
        return [Ending(claim=claim, uids=uids)]

    async def put_away(self, endings: Sequence[Ending]) -> None:
        """Move claims to where they end; what was accepted needs its key no longer."""
        if not endings:
            return
        done = await to_thread.run_sync(self._move, endings, limiter=self._threads)
        faults.point("put-away")
        async with anyio.create_task_group() as group:
            for ending in done:
                file, key = names.shown(ending.claim.name), ending.claim.key
                if ending.why:
                    log.warning("file rejected", file=file, claim=key, why=ending.why.split("\n", 1)[0])
                else:
                    log.info("file accepted", file=file, claim=key, uids=list(ending.uids))
                    group.start_soon(self.forget, key)
                await anyio.lowlevel.checkpoint()

    async def forget(self, key: str) -> None:
        """A file is among the accepted: should this fail, the next start does it."""
        try:
            await self._daemon.forget(key)
        except Busy as error:
            self._told.once("busy", "definitions and submissions wait", reason=str(error))

    def _move(self, endings: Sequence[Ending]) -> list[Ending]:
        done = []
        for ending in endings:
            try:
                if ending.why:
                    self._claims.reject(ending.claim, ending.why + AGAIN)
                else:
                    self._claims.accept(ending.claim)
            except OSError as error:
                self._trouble(error, ending.claim.name)
            else:
                done.append(ending)
        folders = {self._claims.rejected if ending.why else self._claims.accepted for ending in done}
        return done if self._sync(lambda: self._claims.sync(*folders, self._claims.claimed)) else []

    def _sync(self, sync: Callable[[], None]) -> bool:
        """Whether renames are on disk; what is not stays where it is until the next sweep."""
        try:
            sync()
        except OSError as error:
            self._trouble(error, "")
            return False
        return True

    def _trouble(self, error: OSError, name: str) -> None:
        self.troubled = True
        word = errno.errorcode.get(error.errno or 0, "OSError")
        self._told.once(f"files {word}", "files cannot be moved and wait", reason=error.strerror, file=names.shown(name))
