"""The drop folder: a workflow put there runs once, definitions put there hold as long as they lie there.

The kernel tells of files that come, and the folder is looked through now and then whatever it tells, so that nothing depends on being
told. One round at a time: look at names, judge them in batches in a thread, put definitions in force, then claim and submit work,
while the next batch is judged. Nothing of this is kept but the folders themselves and what the daemon recorded.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import anyio
import structlog
from anyio import CapacityLimiter, to_thread
from anyio.abc import TaskStatus

from tiphys.settings import DropSettings, LimitSettings
from tiphys.spec.workflows import Document
from tiphys.triggers import candidates, claims, hearing, looking, names, patience, standing, taking
from tiphys.triggers.candidates import BATCH, Candidate, Judged, Same
from tiphys.triggers.claims import Claim, NoFolder
from tiphys.triggers.looking import Entry, Kind, Rules, Stamp
from tiphys.triggers.port import Daemon
from tiphys.triggers.resting import Rest
from tiphys.triggers.told import Told
from tiphys.triggers.verdicts import Bad, Defined, Judge, Work

log = structlog.get_logger()

THREADS = 2  # one judges while another moves files; more would only contend for the interpreter
BATCHES = 2  # being submitted at once: 128 files at most
YIELD = 500  # names looked at between two turns of the loop
PATIENCE_ROUNDS = 10


class DropFolder:
    """Watches `folder`. `adjust` gives a document as it will be judged when submitted, with the defaults below it; `secrets` is where
    people are told to put Secrets.
    """

    def __init__(
        self,
        daemon: Daemon,
        folder: Path,
        settings: DropSettings,
        limits: LimitSettings,
        *,
        adjust: Callable[[Document], Document] = lambda document: document,
        secrets: str = "the secrets directory (the setting secrets_directory)",
    ) -> None:
        self._daemon = daemon
        self._folder = folder
        self._settings = settings
        self._judge = Judge(limits=limits, adjust=adjust, timezones=candidates.timezones, secrets=secrets)
        self._claims = claims.Claims(folder)
        self._told = Told()
        self._threads = CapacityLimiter(THREADS)
        self._patience = patience.Patience(settings.settle_seconds)
        self._standing = standing.Standing(daemon, self._claims, self._told, self._threads)
        self._taking = taking.Taking(daemon, self._claims, self._told, self._threads)
        self._rules: Rules | None = None
        self._rounds = anyio.Lock()
        self._wake = anyio.Event()
        self._heard: set[str] = set()
        self._closed: set[str] = set()
        self._gone: set[str] = set()
        self._lost = False
        self._held: dict[str, Stamp] = {}
        self._rest = Rest()

    async def run(self) -> None:
        """Take what comes, for ever. Raises NoFolder where the folder cannot be used at all."""
        await self._prepared()
        async with anyio.create_task_group() as group:
            await group.start(self._listen)
            while True:
                await self._sweep()
                await self._between_sweeps()

    async def prepare(self) -> None:
        """See that the folder is there; `run` does it otherwise. Raises NoFolder."""
        await self._prepared()

    async def settle(self) -> None:
        """Look through the folder now, and again at what waits to be left alone; done when nothing waits, or would wait too long."""
        await self._prepared()
        await self._sweep()
        until = anyio.current_time() + PATIENCE_ROUNDS * self._settings.settle_seconds
        while self._patience.next() <= until:
            await anyio.sleep(max(0.0, self._patience.next() - anyio.current_time()))
            await self._glance(self._patience.due(anyio.current_time()))

    # ------------------------------------------------------------------------------------------------------ beginning
    async def _prepared(self) -> Rules:
        if self._rules is None:
            self._rules = await to_thread.run_sync(self._prepare, limiter=self._threads)
            await self._forget_accepted()
        return self._rules

    def _prepare(self) -> Rules:
        self._claims.prepare()
        owners, unknown = looking.owners(self._settings.owners)
        for user in unknown:
            self._told.once(f"owner {user}", "drop.owners names a user that there is not", user=user)
        leases = looking.has_leases(self._claims.claimed)
        return Rules(owners=owners, limit=self._judge.limits.file_bytes, leases=leases)

    async def _forget_accepted(self) -> None:
        """Forget the keys of files that were put away just before the daemon ended."""
        try:
            keys = await to_thread.run_sync(self._claims.accepted_keys, limiter=self._threads)
        except OSError as error:
            raise NoFolder(f"{self._claims.accepted}: {error.strerror}") from error
        for turn, key in enumerate(keys):
            if self._daemon.known(key):
                await self._taking.forget(key)
            elif turn % YIELD == 0:
                await anyio.lowlevel.checkpoint()

    # -------------------------------------------------------------------------------------------------------- hearing
    async def _listen(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Note what the kernel tells. Without a watch the sweeps go on alone, and a new one is tried with each."""
        begun = False
        while True:
            try:
                with hearing.listening(self._folder) as inotify:
                    self._told.over("watch")
                    if begun:
                        self._note(hearing.Heard())  # nobody listened until now
                    else:
                        begun = True
                        task_status.started()
                    async for heard in hearing.heard(inotify):
                        self._note(heard)
            except OSError as error:
                self._told.once("watch", "drop folder is only looked through now and then", reason=hearing.reason(error))
            if not begun:
                begun = True
                task_status.started()
            await anyio.sleep(self._settings.sweep_seconds)

    def _note(self, heard: hearing.Heard) -> None:
        if not heard.name:
            self._lost = True
        elif names.is_parameters(heard.name):
            self._heard.update(names.manifests_of(heard.name))
        elif not names.is_manifest(heard.name):
            return
        elif heard.came:
            self._heard.add(heard.name)
            self._closed.add(heard.name)
        elif self._standing.has(heard.name):
            self._heard.add(heard.name)
        else:
            if self._rounds.locked():
                self._gone.add(heard.name)  # what it gives may just be put in force
            return
        self._wake.set()

    def _hear_gone(self) -> None:
        """Look again at files that went away while they were looked at."""
        gone, self._gone = self._gone, set()
        if found := {name for name in gone if self._standing.has(name)}:
            self._heard |= found
            self._wake.set()

    async def _between_sweeps(self) -> None:
        """Look at files that were heard of, or whose time has come, until it is time for the next sweep."""
        sweep = anyio.current_time() + self._settings.sweep_seconds
        while not self._lost:
            wait = min(sweep, self._patience.next()) - anyio.current_time()
            if not self._heard and wait > 0:
                with anyio.move_on_after(wait):
                    await self._wake.wait()
            self._wake = anyio.Event()
            now = anyio.current_time()
            if now >= sweep:
                break
            wanted = self._heard | self._patience.due(now)
            self._heard = set()
            if wanted:
                await self._glance(wanted)
        self._lost = False

    # --------------------------------------------------------------------------------------------------------- rounds
    async def _sweep(self) -> None:
        """Look at everything there is."""
        async with self._rounds:
            surveyed = await to_thread.run_sync(self._survey, limiter=self._threads)
            if surveyed is None:
                return
            waiting, entries, every = surveyed
            self._taking.begin()
            await self._resume(waiting)
            if not self._taking.busy:
                self._held.clear()
            self._told.keep("other ", {f"other {name}" for name, entry in entries.items() if not entry.ours})
            self._told.keep("writing ", {f"writing {name}" for name in entries})
            self._patience.keep(entries)
            self._standing.keep(entries)
            await self._absent(self._standing.absent([name for name, entry in entries.items() if entry.ours]))
            await self._round(entries)
            await self._standing.tidy(claims.unreported(every))
            self._taking.end()
            if not waiting and not entries and not self._standing.absent(()):
                self._rest.begin()

    def _survey(self) -> tuple[Sequence[Claim], dict[str, Entry], frozenset[str]] | None:
        """The claims that wait, the manifests, and all names; None where the folder is not to be used as it is, or nothing has changed."""
        try:
            if self._rest.goes_on(self._folder, self._claims.claimed):
                return None
            self._claims.prepare_below()
            exposed = looking.exposed(self._folder)
            if not exposed:
                self._told.over("folder")
                return self._claims.waiting(), *looking.listing(self._folder)
        except NoFolder as error:
            self._told.once("folder", "drop folder cannot be used", reason=str(error))
        except OSError as error:
            self._told.once("folder", "drop folder cannot be used", folder=str(self._folder), reason=error.strerror)
        else:
            reason = "everybody may write there, without the sticky bit: chmod o-w or chmod +t"
            self._told.once("folder", "drop folder cannot be used", folder=str(self._folder), reason=reason)
        return None

    async def _glance(self, wanted: Collection[str]) -> None:
        """Look at some names."""
        async with self._rounds:
            try:
                entries = await to_thread.run_sync(self._entries, wanted, limiter=self._threads)
            except OSError as error:
                self._told.once("folder", "drop folder cannot be used", folder=str(self._folder), reason=error.strerror)
                return
            if entries is None:
                return  # the next sweep tells
            here = {name for name, entry in entries.items() if entry.ours}
            sources = self._standing.sources()
            await self._absent({name for name in wanted if name not in here and names.source(name) in sources})
            await self._round(entries)

    def _entries(self, wanted: Collection[str]) -> dict[str, Entry] | None:
        return None if looking.exposed(self._folder) else looking.entries(self._folder, wanted)

    async def _absent(self, missing: Collection[str]) -> None:
        """Withdraw what files gave that are missing for longer than an editor takes to put a new one in the place of the old."""
        for name in missing:
            now = anyio.current_time()
            if self._standing.missed(name, now) >= self._settings.settle_seconds:
                await self._standing.withdraw(name)
            else:
                self._patience.absent(name, now)

    async def _resume(self, waiting: Sequence[Claim]) -> None:
        """Go on with what was claimed: by an earlier process, or before the daemon was busy."""
        recorded = [claim for claim in waiting if self._daemon.known(claim.key)]
        fresh = [claim for claim in waiting if not self._daemon.known(claim.key)]
        while recorded:
            recorded = recorded[await self._resume_some(recorded[:BATCH], recorded=True) :]
        some = 1  # while the daemon is busy, one is enough to learn it
        while fresh and not self._taking.busy:
            fresh = fresh[await self._resume_some(fresh[:some], recorded=False) :]
            some = BATCH

    async def _resume_some(self, waiting: Sequence[Claim], *, recorded: bool) -> int:
        """Submit claims again, of which those `recorded` are put away whatever became of the file; how many were looked at."""
        judged = await self._judged([self._claimed(claim, recorded=recorded) for claim in waiting], sources={})
        ready: list[tuple[Claim, Work | Bad | Defined]] = []
        spoilt: list[taking.Ending] = []
        for claim, one in zip(waiting, judged, strict=False):
            if one.kind in (Kind.FILE, Kind.UNFIT) and isinstance(one.verdict, Work | Bad | Defined):
                if recorded and not isinstance(one.verdict, Work):
                    spoilt.append(taking.Ending(claim=claim))
                else:
                    ready.append((claim, one.verdict))
        await self._taking.settle(ready)
        await self._taking.put_away(spoilt)
        return len(judged)

    def _claimed(self, claim: Claim, *, recorded: bool) -> Candidate:
        path = self._claims.claimed / claim.file
        return Candidate(name=claim.name, path=path, parameters=(claim.file + names.PARAMETERS,), recorded=recorded)

    async def _round(self, entries: Mapping[str, Entry]) -> None:
        """Judge the files whose time has come, and do what follows."""
        closed, self._closed = self._closed, set()
        ready = await self._ready(entries, closed)
        places = anyio.Semaphore(BATCHES)
        async with anyio.create_task_group() as group:
            while ready:
                beside = self._standing.beside()
                found = await self._judged([candidates.dropped(self._folder, name) for name in ready[:BATCH]], self._standing.sources())
                ready = ready[len(found) :]
                leaving = [one for one in found if await self._leaves(one, beside)]
                if leaving:
                    await places.acquire()
                    group.start_soon(self._take, leaving, places)
        for name in self._standing.stale():
            self._patience.soon(name, anyio.current_time())
        self._hear_gone()

    async def _take(self, leaving: Sequence[Judged], places: anyio.Semaphore) -> None:
        try:
            going = [one for one in leaving if not self._holds(one)]  # the daemon may have become busy since they were judged
            await self._taking.take(going)
            for one in going:
                self._patience.forget(one.name)
        finally:
            places.release()

    async def _ready(self, entries: Mapping[str, Entry], closed: Collection[str]) -> list[str]:
        """The files to judge now."""
        beside = self._standing.beside()
        now = anyio.current_time()
        ready = []
        for turn, (name, entry) in enumerate(entries.items()):
            if turn % YIELD == YIELD - 1:
                await anyio.lowlevel.checkpoint()
            if not entry.ours:
                self._told.once(f"other {name}", "neither a file nor a link: ignored", file=names.shown(name))
                continue
            self._standing.returned([name])
            waits = self._taking.busy and self._held.get(name) == entry.stamp
            known = name not in closed and self._standing.settled(name, entry.stamp, beside)
            if not waits and not known and self._patience.ready(name, entry.stamp, now, closed=name in closed):
                ready.append(name)
        return ready

    async def _judged(self, batch: Sequence[Candidate], sources: Mapping[str, str]) -> Sequence[Judged]:
        """What the first of the files are, and what is to become of them."""
        rules, known = await self._prepared(), self._daemon.definitions()
        return await to_thread.run_sync(candidates.judge, batch, rules, self._judge, known, sources, limiter=self._threads)

    async def _leaves(self, one: Judged, beside: int) -> bool:
        """Do what a file asks for that stays; whether it is one that leaves the folder. `beside`: what was in force when it was judged."""
        name = one.name
        if one.kind is Kind.WRITING:
            if self._patience.written(name, anyio.current_time()):
                self._told.once(f"writing {name}", "file waits until it is closed: a program writes to it", file=names.shown(name))
            return False
        if one.kind is Kind.FAILED:
            self._told.once("looking", "files cannot be read and wait", reason=one.trouble, file=names.shown(name))
            return False
        self._told.over("looking")
        if one.verdict is None or one.stamp is None:
            self._patience.forget(name)
            return False
        match one.verdict:
            case Same():
                await self._good(name, one.stamp)
            case Defined():
                refused = await self._standing.define(name, one.verdict)
                if refused is None:
                    await self._good(name, one.stamp)
                elif refused:
                    await self._bad(name, one.stamp, f"{names.shown(name)}: error: {refused}")
            case Bad(stays=True):
                await self._bad(name, one.stamp, one.verdict.why)
            case Bad() if self._patience.wavers or self._standing.beside() != beside:
                self._patience.wait(name, anyio.current_time())  # what it lacks may just be coming
            case Bad():
                return self._patience.final(name, anyio.current_time())
            case Work():
                return not self._holds(one)
        return False

    def _holds(self, one: Judged) -> bool:
        """Whether a file stays where it is because the daemon takes no work now."""
        if not isinstance(one.verdict, Work) or one.stamp is None or not self._taking.busy:
            return False
        self._held[one.name] = one.stamp
        return True

    async def _good(self, name: str, stamp: Stamp) -> None:
        self._patience.good(name)
        await self._standing.good(name, stamp)

    async def _bad(self, name: str, stamp: Stamp, why: str) -> None:
        if self._patience.final(name, anyio.current_time(), gives=True):
            await self._standing.bad(name, stamp, why)
