"""The verbs of a daemon, beyond those of a single run: definitions, cron workflows, runs by their names, and when work is refused."""

import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import anyio
import anyio.to_thread
from msgspec import structs

from tiphys.engine import explaining, snapshots, submissions
from tiphys.engine.engine import Engine, Refused
from tiphys.engine.inbox import now
from tiphys.engine.operations import Folders, Operations
from tiphys.engine.submissions import Rejected
from tiphys.errors import Busy, TiphysError
from tiphys.journal.protocol import ArchivedRun, Result
from tiphys.scheduler import events, keeping, reviving, stills
from tiphys.scheduler.activity import Activity
from tiphys.scheduler.explaining import Unknown
from tiphys.scheduler.explaining import find as look_up
from tiphys.scheduler.items import Cron, Definable, Definition, Tick, definition_key, is_definable
from tiphys.scheduler.reasons import CronExplanation, Explanation, Room, RunExplanation, Told
from tiphys.scheduler.records import Manifest, Node, Run, Settled
from tiphys.scheduler.state import RunState
from tiphys.secrets import Secrets
from tiphys.spec import names
from tiphys.spec.artifacts import Artifact
from tiphys.spec.workflows import (
    ARGO_API_VERSION,
    ClusterWorkflowTemplate,
    CronWorkflow,
    Document,
    ObjectMeta,
    Secret,
    Workflow,
    overridden,
)

LABELS = "workflows.argoproj.io/"


class NotThere(TiphysError):
    """There is no such thing."""


class Taken(Rejected):
    """A name that is in use."""


class Store(Protocol):
    """Where artifacts are."""

    async def load(self, artifact: Artifact, dest: Path, namespace: str) -> None:
        """Bring an artifact to `dest`. Raises a TiphysError."""
        ...


def takes_work() -> str:
    """The answer of a daemon that refuses nothing."""
    return ""


class House(Operations):
    """A daemon's operations. `refuses`, set by the app, says why no new work is taken now; "": it is."""

    refuses: Callable[[], str] = staticmethod(takes_work)
    artifacts: Store | None = None
    """Where artifacts are, set by the app; None: nobody can look at any."""
    _cleans = True

    def __init__(
        self,
        engine: Engine,
        chosen: Settled,
        namespace: str,
        folders: Mapping[str, Folders],
        notices: Sequence[str] = (),
        *,
        defaults: Workflow | None = None,
        repositories: Mapping[str, object] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        super().__init__(engine, chosen, namespace, folders, notices, defaults=defaults, repositories=repositories, secrets=secrets)
        self._promised: set[tuple[str, str]] = set()
        self._taking: dict[str, anyio.Event] = {}

    # submissions

    async def submit(
        self,
        documents: Sequence[Document],
        *,
        key: str = "",
        source: str = "",
        parameters: Mapping[str, str] | None = None,
        who: str = "",
    ) -> Sequence[str]:
        """Start the Workflows among the documents, the others are there for them; their uids. Raises Rejected or Busy, starting none.

        The same `key` again starts nothing and gives the first call's uids. A name that is taken gets five letters more where the work
        comes from a file (`source`), and is rejected elsewhere. `who` asked, if that is known.
        """
        while (other := self._taking.get(key)) is not None:
            await other.wait()
        if not key:
            return await self._submit(documents, "", source, parameters, who)
        over = self._taking[key] = anyio.Event()
        try:
            return await self._submit(documents, key, source, parameters, who)
        finally:
            del self._taking[key]
            over.set()

    async def _submit(
        self, documents: Sequence[Document], key: str, source: str, parameters: Mapping[str, str] | None, who: str
    ) -> Sequence[str]:
        claims = self._engine.registry.claims
        workflows = [document for document in documents if isinstance(document, Workflow)]
        keys = [f"{key}/{index}" if key else "" for index in range(len(workflows))]
        made: dict[int, Manifest] = {}
        promised: set[tuple[str, str]] = set()
        try:
            for index, workflow in enumerate(workflows):
                if not key or keys[index] not in claims:
                    named = self._named(workflow, renames=bool(source), who=who)
                    promised.add((named.metadata.namespace, named.metadata.name))
                    self._promised |= promised
                    changed = overridden(named, parameters or {})
                    made[index] = self._snapshot(changed, documents, await self._reached(changed, documents))
            if made and (why := self.refuses()):
                raise Busy(why)
            uids = []
            for index in range(len(workflows)):
                claim = claims.get(keys[index]) if key else None
                uids.append(claim.uid if claim is not None else await self._taken_in(made[index], keys[index]))
            return uids
        finally:
            self._promised -= promised

    async def _taken_in(self, manifest: Manifest, key: str) -> str:
        try:
            return await self._engine.submit(manifest, key)
        except Refused as error:
            raise Rejected(str(error)) from error

    def _named(self, submitted: Workflow, *, renames: bool, who: str) -> Workflow:
        """The workflow with a namespace, a name that nobody has, and who asked. Raises Taken."""
        meta = submitted.metadata
        namespace = meta.namespace or self._namespace
        if meta.name and ((namespace, meta.name) in self._promised or self._engine.named(namespace, meta.name) is not None):
            if not renames:
                raise Taken(f'workflows.argoproj.io "{meta.name}" already exists')
            meta = structs.replace(meta, name=names.generated(f"{meta.name}-", uuid.uuid4().bytes))
        if who:
            meta = structs.replace(meta, labels={**(meta.labels or {}), f"{LABELS}creator": creator_label(who)})
        return structs.replace(submitted, metadata=structs.replace(meta, namespace=namespace))

    async def _reached(self, workflow: Workflow, own: Sequence[Document]) -> Sequence[Document]:
        """The definitions in force that the workflow can reach, looked for on a thread: it may be large."""
        known = self._engine.registry.documents()
        if not any(isinstance(document, snapshots.Resource) for document in known):
            return ()
        return await anyio.to_thread.run_sync(snapshots.reachable, self._lowest(workflow), own, known, self._namespace)

    def _lowest(self, workflow: Workflow) -> list[Workflow]:
        """The workflow and, with its metadata, what lies below it."""
        return [workflow] if self._defaults is None else [workflow, structs.replace(self._defaults, metadata=workflow.metadata)]

    def _snapshot(self, workflow: Workflow, own: Sequence[Document], reached: Sequence[Document] | None = None) -> Manifest:
        """The manifest with what it can reach of the definitions in force (None: it is looked for here). Raises Rejected."""
        if any(isinstance(document, Secret) for document in own):
            raise Rejected("Secrets are not taken along with work, since they would be recorded; put them into the secrets directory")
        known = self._engine.registry.documents()
        if reached is None:
            reached = snapshots.reachable(self._lowest(workflow), own, known, self._namespace)
        made = submissions.manifest(
            workflow, [*own, *reached], self._chosen, self._namespace, defaults=self._defaults, configured=self._repositories, known=known
        )
        self._judge(made)
        return made

    async def resubmit(self, still: RunState, documents: Sequence[Document], *, who: str = "") -> str:
        """Start the one Workflow among the documents, which is that of a failed run again, and keep what succeeded there; its uid.

        Raises Refused, Rejected or Busy, starting nothing.
        """
        if not still.run.phase.failed_or_error:
            raise Refused("workflow must be Failed/Error to resubmit in memoized mode")
        [workflow] = [document for document in documents if isinstance(document, Workflow)]
        named = self._named(workflow, renames=False, who=who)
        made = self._snapshot(named, documents, await self._reached(named, documents))
        if why := self.refuses():
            raise Busy(why)
        at = now()
        nodes = await anyio.to_thread.run_sync(keeping.kept, still, made, at)
        seed = secrets.token_hex(16)
        try:
            await self._engine.tell(events.Submitted(at=at, uid=made.uid, seed=seed, manifest=made, nodes=nodes))
        except Refused as error:
            raise Rejected(str(error)) from error
        return made.uid

    async def revive(self, ended: RunState, wish: events.Retry, *, who: str = "") -> str:
        """Retry a run that is only in the archive, as a new one of its name; its uid. Raises Taken, Refused or Busy, starting nothing."""
        run = ended.run
        name = (run.namespace, run.name)
        if name in self._promised or self._engine.named(*name) is not None:
            raise Taken(reviving.taken(run.name))
        if why := self.refuses():
            raise Busy(why)
        self._promised.add(name)
        try:
            uid = str(uuid.uuid4())
            nodes = tuple(ended.nodes.values())
            event = events.Revived(at=now(), uid=uid, manifest=ended.manifest, run=run, nodes=nodes, wish=wish, who=who)
            await self._engine.tell(event)
        finally:
            self._promised.discard(name)
        return uid

    def known(self, key: str) -> bool:
        """Whether a submission with this key was recorded and is not forgotten."""
        return f"{key}/0" in self._engine.registry.claims

    async def forget(self, key: str) -> None:
        """The key will not come again. One that is not known is no error."""
        claims = self._engine.registry.claims
        count = 0
        while f"{key}/{count}" in claims:
            count += 1
        for index in reversed(range(count)):  # the first last: while it is there, the key is known
            await self._told(events.Forgotten(at=now(), key=f"{key}/{index}"))

    # definitions

    async def define(self, documents: Sequence[Document], *, source: str, digest: str = "") -> None:
        """The definitions that come from `source` are now exactly these. Raises Rejected or Busy, leaving the former ones in force."""
        if why := self.refuses():
            raise Busy(why)
        made: list[Definable] = []
        for document in documents:
            if not is_definable(document):
                raise Rejected(f"a {type(document).__name__} is no definition that stays")
            assert not isinstance(document, Workflow | Secret)
            if not document.metadata.name:
                raise Rejected(f"a {type(document).__name__} without a name cannot stay")
            namespace = "" if isinstance(document, ClusterWorkflowTemplate) else document.metadata.namespace or self._namespace
            made.append(structs.replace(document, metadata=structs.replace(document.metadata, namespace=namespace)))
        try:
            await self._engine.tell(events.Defined(at=now(), source=source, digest=digest, documents=tuple(made)))
        except Refused as error:
            raise Rejected(str(error)) from error

    async def undefine(self, source: str) -> None:
        """Nothing comes from `source` any more."""
        if self._engine.registry.of_source(source):
            await self._told(events.Defined(at=now(), source=source))

    def definition_sources(self) -> Mapping[str, str]:
        """Each source with the digest that its definitions were last made from."""
        return {found.source: found.digest for found in self._engine.registry.definitions.values()}

    def definitions(self) -> Sequence[Document]:
        """All definitions in force."""
        return self._engine.registry.documents()

    def when_definitions_change(self, tell: Callable[[], None]) -> None:
        """Have `tell` called after each change of definitions."""
        self._engine.refreshed.append(tell)

    # cron workflows

    def cron_workflows(self) -> Sequence[tuple[CronWorkflow, Cron | None]]:
        """The CronWorkflows in force, each with how far it is."""
        registry = self._engine.registry
        found = [document for document in registry.documents() if isinstance(document, CronWorkflow)]
        return [(cron, registry.crons.get(f"{cron.metadata.namespace}/{cron.metadata.name}")) for cron in found]

    def ticks(self, namespace: str, name: str) -> Sequence[Tick]:
        """The last ticks of a CronWorkflow, in their order."""
        return sorted(self._engine.registry.ticks.get(f"{namespace}/{name}", {}).values(), key=lambda tick: tick.scheduled_at)

    async def tick(
        self, namespace: str, name: str, scheduled_at: datetime, shown: str, *, missed: str = "", manual: bool = False, who: str = ""
    ) -> Tick:
        """A moment of a schedule has come, or was `missed`; or somebody wants it to run now (`manual`): what became of it.

        `shown`: the moment as the annotation scheduled-time has it. Raises NotThere, Refused (it has ticked then), and for `manual` also
        Rejected and Busy.
        """
        cron = self._engine.registry.cron_workflow(namespace, name)
        if cron is None:
            raise NotThere(f'cronworkflows.argoproj.io "{name}" not found')
        manifest, error = None, ""
        if not missed:
            try:
                if why := self.refuses():
                    raise Busy(why)
                made = child(cron, self.definition_uid(cron), scheduled_at, shown, manual=manual, who=who)
                manifest = self._snapshot(made, ())
            except (Rejected, Busy) as reason:
                if manual:
                    raise
                error = str(reason)
        event = events.Ticked(
            at=now(),
            namespace=namespace,
            name=name,
            scheduled_at=scheduled_at,
            child=manifest.uid if manifest is not None else "",
            seed=secrets.token_hex(16),
            manifest=manifest,
            error=error,
            missed=missed,
            manual=manual,
        )
        await self._engine.tell(event)
        for tick in self.ticks(namespace, name):
            if tick.scheduled_at == scheduled_at:
                return tick
        raise NotThere(f'cronworkflows.argoproj.io "{name}" is no longer there')

    # runs by their names

    def find(self, namespace: str, name: str) -> str:
        """The uid of the newest run of a name. Raises NotThere."""
        if uid := self._engine.named(namespace, name):
            return uid
        raise NotThere(f'workflows.argoproj.io "{name}" not found')

    def runs(self) -> Sequence[Run]:
        """Every run's own row."""
        return self._engine.runs()

    def row(self, uid: str) -> Run | None:
        """A run's own row."""
        return self._engine.run_of(uid)

    @property
    def namespace(self) -> str:
        """The namespace of what names none."""
        return self._namespace

    async def _told(self, event: events.Event) -> None:
        try:
            await self._engine.tell(event)
        except Refused:
            return  # it is so already

    # what others are shown

    @property
    def recovered(self) -> bool:
        """Whether everything that was cut off is going on again."""
        return self._engine.recovered.is_set()

    async def committed(self) -> None:
        """Wait until all that can be seen now is recorded; who shows something to others waits for this first."""
        await self._engine.committed()

    async def stirred(self) -> set[str]:
        """The large runs of which something was recorded since this was asked last; waits for it. For one alone, who asks on and on."""
        return await self._engine.stirred()

    def still(self, uid: str) -> RunState:
        """The run as it is now, which nothing changes any more: for a thread to look at. Raises NotThere."""
        state = self._engine._state.runs.get(uid)  # noqa: SLF001 (the engine shows pictures, and a picture takes too long for the loop)
        if state is None:
            raise NotThere(f'workflows.argoproj.io "{uid}" not found')
        return stills.to_draw(state)

    def nodes(self, uid: str) -> Mapping[str, Node]:
        """The run's nodes as they are at any moment: to be looked at on the loop, between two waits. Raises NotThere."""
        state = self._engine._state.runs.get(uid)  # noqa: SLF001 (as above)
        if state is None:
            raise NotThere(f'workflows.argoproj.io "{uid}" not found')
        return MappingProxyType(state.nodes)

    def definition_rows(self) -> Sequence[Definition]:
        """All definitions in force, each with where it is from and since when."""
        return list(self._engine.registry.definitions.values())

    def definition_uid(self, document: Definable) -> str:
        """The uid of a definition in force; "" where it is none any more."""
        found = self._engine.registry.definitions.get(definition_key(document))
        return found.uid if found is not None else ""

    async def archive(self, look: Callable[[Iterator[ArchivedRun]], Result]) -> Result:
        """What `look` makes of the archive, the newest first: it is called in a thread, and each line is read as it asks for it."""
        return await self._engine.journal.archive(look)

    async def archived(self, uid: str) -> Workflow:
        """An archived run, as it was shown last. Raises NotThere."""
        if (found := await self._engine.journal.archived(uid)) is None:
            raise NotThere(f'workflows.argoproj.io "{uid}" not found')
        return found

    async def ended(self, uid: str) -> RunState | None:
        """A run that is only in the archive as it had ended, to look at; None: its rows are not there (any more)."""
        left = await self._engine.journal.remains(uid)
        return None if left is None else await anyio.to_thread.run_sync(reviving.ended, left)

    async def forget_archived(self, uid: str) -> None:
        """Take a run out of the archive."""
        await self._engine.journal.forget_archived(uid)

    def cron_state(self, namespace: str, name: str) -> Cron | None:
        """How far a CronWorkflow is; None: it has not ticked yet."""
        return self._engine.registry.crons.get(f"{namespace}/{name}")

    def active_of(self, namespace: str, name: str) -> Sequence[Run]:
        """The unfinished runs of a CronWorkflow."""
        runs = self._engine._state.shared.crowd.by_cron.get(f"{namespace}/{name}", {})  # noqa: SLF001 (as above)
        return [run for run in runs.values() if not run.phase.completed]

    # why things are as they are

    async def explain(self, uid: str, node: str) -> Explanation:
        """Why a node is as it is. `node`: its id, name or display name, or the name of what has no node yet. Raises NotThere."""
        try:
            there = look_up(self._engine._state.runs[uid], node)  # noqa: SLF001 (as above)
            folder = self.attempt_folder(uid, there.id) if there is not None and there.handle is not None else None
            found = await explaining.of_node(self._engine, uid, node, folder)
        except KeyError as error:
            raise NotThere(f'workflows.argoproj.io "{uid}" not found') from error
        if isinstance(found, Unknown):
            near = f"; did you mean {', '.join(found.near)}?" if found.near else ""
            raise NotThere(f'there is no node "{node}", and nothing that is known will become one{near}')
        return found

    async def explain_run(self, uid: str) -> RunExplanation:
        """Why a workflow is as it is, and where its time went. Raises NotThere."""
        try:
            return await explaining.of_run(self._engine, uid)
        except KeyError as error:
            raise NotThere(f'workflows.argoproj.io "{uid}" not found') from error

    def explain_cron(self, namespace: str, name: str, following: datetime | None) -> CronExplanation:
        """Why a CronWorkflow starts something at its next tick, which is at `following`, or does not. Raises NotThere."""
        if (found := explaining.of_cron(self._engine, namespace, name, following)) is None:
            raise NotThere(f'cronworkflows.argoproj.io "{name}" not found')
        return found

    async def log_of(self, uid: str, after: int = 0) -> Sequence[Told]:
        """What happened to a run, from the event after that number on."""
        return await explaining.log_of(self._engine, uid, after)

    def activity(self, most: int) -> tuple[Activity, Sequence[Room]]:
        """What runs and what waits in all runs, and how full the executors are (`before`: how many wait for each)."""
        return explaining.look(self._engine, most), explaining.rooms(self._engine)


def creator_label(who: str) -> str:
    """A label's value from who asked, as Argo makes one."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in who)[:63].strip("-_.")


def child(cron: CronWorkflow, uid: str, at: datetime, shown: str, *, manual: bool = False, who: str = "") -> Workflow:
    """The workflow of a tick (semantics 2.20): its name says when it was scheduled; one that somebody wanted gets five letters.

    It carries the labels that say who made the CronWorkflow, whose `uid` it names as its owner, or `who` wanted it now.
    """
    name = cron.metadata.name
    extra = cron.spec.workflow_metadata or ObjectMeta()
    made = {key: value for key, value in (cron.metadata.labels or {}).items() if key.startswith(f"{LABELS}creator")}
    labels = {**({} if who else made), **(extra.labels or {}), f"{LABELS}cron-workflow": name}
    if who:
        labels[f"{LABELS}creator"] = creator_label(who)
    metadata = ObjectMeta(
        name=names.generated(f"{name}-", uuid.uuid4().bytes) if manual else f"{name}-{int(at.timestamp())}",
        namespace=cron.metadata.namespace,
        labels=labels,
        annotations={**(extra.annotations or {}), f"{LABELS}scheduled-time": shown},
        owner_references=[{"apiVersion": ARGO_API_VERSION, "kind": "CronWorkflow", "name": name, "uid": uid, "controller": True}],
    )
    return Workflow(api_version=ARGO_API_VERSION, metadata=metadata, spec=cron.spec.workflow_spec)
