"""Many runs under one roof, driven by hand: facts go in, and what is decided and what follows from it is held against the laws.

What the engine does with a decision is done here too: it is applied, what follows from it is decided next, its rows are kept. `reload`
drops the memory and begins again from the rows, as after a crash.
"""

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from tiphys.scheduler import decide, decision, events, items, laws, records, render, retention, state
from tiphys.spec import work
from tiphys.spec.artifacts import Artifact
from tiphys.spec.status import Phase
from tiphys.spec.workflows import ARGO_API_VERSION, ConfigMap, CronWorkflow, Workflow, WorkflowTemplate

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LEAF = {"name": "leaf", "container": {"image": "any", "command": ["work"]}}
CRON = "workflows.argoproj.io/cron-workflow"
Command = TypeVar("Command")


def workflow(name: str, namespace: str = "default", labels: Mapping[str, str] | None = None, **spec: Any) -> Workflow:
    """A workflow of one step, or of what `spec` says."""
    whole = {"entrypoint": "leaf", "templates": [LEAF], **spec}
    meta = {"name": name, "namespace": namespace, **({"labels": dict(labels)} if labels else {})}
    return msgspec.convert({"kind": "Workflow", "apiVersion": ARGO_API_VERSION, "metadata": meta, "spec": whole}, Workflow)


def cron(name: str = "every", namespace: str = "default", meta: Mapping[str, Any] | None = None, **spec: Any) -> CronWorkflow:
    """A CronWorkflow of one step."""
    whole = {"schedules": ["* * * * *"], "workflowSpec": {"entrypoint": "leaf", "templates": [LEAF]}, **spec}
    document = {"kind": "CronWorkflow", "apiVersion": ARGO_API_VERSION, "metadata": {"name": name, "namespace": namespace, **(meta or {})}}
    return msgspec.convert({**document, "spec": whole}, CronWorkflow)


def template(name: str, namespace: str = "default") -> WorkflowTemplate:
    """A WorkflowTemplate of one step."""
    document = {"kind": "WorkflowTemplate", "apiVersion": ARGO_API_VERSION, "metadata": {"name": name, "namespace": namespace}}
    return msgspec.convert({**document, "spec": {"templates": [LEAF]}}, WorkflowTemplate)


def config_map(name: str, namespace: str = "default", **data: str) -> ConfigMap:
    """A ConfigMap."""
    return msgspec.convert(
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace}, "data": data}, ConfigMap
    )


class Rows:
    """What a journal would have."""

    def __init__(self) -> None:
        self.manifests: dict[str, records.Manifest] = {}
        self.runs: dict[str, records.Run] = {}
        self.nodes: dict[str, dict[str, records.Node]] = {}
        self.items: dict[tuple[str, str], items.Item] = {}
        self.archive: list[Workflow] = []
        self.remains: dict[str, records.Remains] = {}

    def take(self, change: decision.Change) -> None:
        """Keep a change."""
        match change:
            case decision.ManifestPut(manifest=manifest):
                self.manifests[manifest.uid] = manifest
            case decision.RunPut(run=run):
                self.runs[run.uid] = run
                self.nodes.setdefault(run.uid, {})
            case decision.NodePut(uid=uid, node=node):
                self.nodes[uid][node.id] = node
            case decision.NodeRemoved(uid=uid, node_id=node_id):
                del self.nodes[uid][node_id]
            case decision.RunRemoved(uid=uid):
                del self.manifests[uid], self.runs[uid], self.nodes[uid]
            case decision.ItemPut(item=item):
                self.items[type(item).__name__, item.key] = item
            case decision.ItemRemoved(kind=kind, key=key):
                del self.items[kind, key]
            case decision.Archived(remains=remains):
                assert remains is not None
                shown = render.of_remains(remains)
                self.archive.append(shown)
                self.remains[shown.metadata.uid] = remains

    def loaded(self, rules: items.Rules) -> state.State:
        """A scheduler's memory made from the rows."""
        fresh = state.State()
        fresh.shared.rules = rules
        fresh.load_items(sorted(self.items.values(), key=lambda item: (type(item).__name__, item.key)))
        for uid, run in self.runs.items():
            fresh.load(self.manifests[uid], run, self.nodes[uid].values())
        return fresh


class Hall:
    """A scheduler with rules, its rows, its timers, and what it commanded since the last look."""

    def __init__(self, **rules: Any) -> None:
        self.now = BEGAN
        self.state = state.State()
        self.state.shared.rules = items.Rules(**rules)
        self.rows = Rows()
        self.timers: dict[tuple[str, str], datetime] = {}
        self.commands: list[decision.Command] = []
        self.log: list[events.Event] = []
        self._count = 0

    # facts

    def tell(self, *facts: events.Event) -> decision.Decision | decision.Refusal:
        """Decide facts and all that follows from them; the first one's answer."""
        answers = []
        todo = deque(facts)
        while todo:
            event = todo.popleft()
            answer = self._decide(event)
            answers.append(answer)
            if isinstance(answer, decision.Decision):
                todo.extendleft(reversed(answer.follows))
            if isinstance(answer, decision.Decision):
                todo.extend(events.Woken(at=self.now, uid=c.uid) for c in answer.commands if isinstance(c, decision.Wake))
        broken = laws.common(self.state) + [one for run in self.state.runs.values() for one in laws.check(run)]
        assert not broken, broken
        return answers[0]

    def _decide(self, event: events.Event) -> decision.Decision | decision.Refusal:
        answer = decide.decide(self.state, event)
        assert decide.decide(self.state, event) == answer, "the same fact on the same state was decided otherwise"
        self.log.append(event)
        if isinstance(answer, decision.Refusal):
            return answer
        broken = laws.step(self.state.runs.get(answer.uid), answer)
        assert not broken, broken
        taken = laws.places(self.state)
        self.state.apply(answer)
        broken = list(laws.over_limits(taken, self.state))
        assert not broken, broken
        for change in answer.changes:
            self.rows.take(change)
        for command in answer.commands:
            self._do(command)
        return answer

    def _do(self, command: decision.Command) -> None:
        self.commands.append(command)
        match command:
            case decision.SetTimer(uid=uid, key=key, at=at):
                self.timers[uid, key] = at
            case decision.Finish(uid=uid):
                self.timers = {timer: at for timer, at in self.timers.items() if timer[0] != uid}

    def submit(self, name: str = "", *, uid: str = "", key: str = "", at: datetime | None = None, **more: Any) -> str:
        """Hand a workflow in; its uid."""
        self._count += 1
        uid = uid or f"u{self._count}"
        manifest = records.Manifest(uid=uid, workflow=workflow(name or f"wf{self._count}", **more))
        self.now += timedelta(milliseconds=1)
        answer = self.tell(events.Submitted(at=at or self.now, uid=uid, seed=uid, manifest=manifest, key=key))
        assert isinstance(answer, decision.Decision), answer
        return uid

    def revive(self, old: str, uid: str, wish: events.Retry | None = None) -> str:
        """Somebody wants an archived run retried, which gets that uid; why not, "" if so."""
        left = self.rows.remains[old]
        fact = events.Revived(
            at=self.now, uid=uid, manifest=left.manifest, run=left.run, nodes=left.nodes, wish=wish or events.Retry(), who="somebody"
        )
        answer = self.tell(fact)
        return answer.reason if isinstance(answer, decision.Refusal) else ""

    def ask(self, uid: str, wish: events.Wish) -> str:
        """Somebody wants something of a run; why not, "" if so."""
        answer = self.tell(events.Asked(at=self.now, uid=uid, wish=wish, who="somebody"))
        return answer.reason if isinstance(answer, decision.Refusal) else ""

    def end(self, uid: str, kind: work.OutcomeKind = work.OutcomeKind.SUCCEEDED, artifacts: tuple[Artifact, ...] = ()) -> None:
        """End all attempts of a run, one after the other."""
        while live := [node for node in self.nodes(uid) if node.type == "Pod" and not node.phase.fulfilled and not node.waiting_for]:
            self.ran(uid, live[0], kind, artifacts)

    def ran(
        self, uid: str, node: records.Node, kind: work.OutcomeKind = work.OutcomeKind.SUCCEEDED, artifacts: tuple[Artifact, ...] = ()
    ) -> None:
        """A node's attempt begins and ends."""
        handle = work.Handle(executor="hall", text=node.id)
        self.tell(events.Started(at=self.now, uid=uid, node_id=node.id, attempt=node.attempt, handle=handle))
        outcome = work.Outcome(kind=kind, exit_code=0 if kind is work.OutcomeKind.SUCCEEDED else 1, message="why", artifacts=artifacts)
        self.tell(events.Exited(at=self.now, uid=uid, node_id=node.id, attempt=node.attempt, outcome=outcome))

    def clock(self, **passes: float) -> None:
        """Time passes; timers go off when they are due."""
        end = self.now + timedelta(**passes)
        while due := sorted((at, timer) for timer, at in self.timers.items() if at <= end):
            at, timer = due[0]
            self.now = max(self.now, at)
            del self.timers[timer]
            self.tell(events.TimerFired(at=self.now, uid=timer[0], key=timer[1]))
        self.now = end

    def define(self, *documents: items.Definable, source: str = "f.yaml") -> str:
        """A source defines exactly this; why it may not, "" if it may."""
        answer = self.tell(events.Defined(at=self.now, source=source, digest="d", documents=documents))
        return answer.reason if isinstance(answer, decision.Refusal) else ""

    def reload(self, **rules: Any) -> None:
        """Memory is gone: begin again from the rows, perhaps with other rules. All of it is told at once, as the engine does."""
        old = self.state.shared.rules
        self.state = self.rows.loaded(items.Rules(**rules) if rules else old)
        self.timers.clear()
        concerned = [
            uid for uid, run in self.rows.runs.items()
            if not run.phase.completed or retention.concerns(run, self.rows.manifests[uid].workflow.spec)
        ]  # fmt: skip
        if concerned:
            self.tell(*(events.DaemonStarted(at=self.now, uid=uid) for uid in concerned))

    def configure(self, **rules: Any) -> None:
        """Other rules are in force; who waits for a place looks again."""
        self.state.shared.rules = items.Rules(**rules)
        if waiting := self.state.shared.crowd.postponed:
            self.tell(*(events.Woken(at=self.now, uid=one.rank[2]) for one in waiting))

    # looks

    def run(self, uid: str) -> records.Run:
        """A run's own row."""
        return self.state.runs[uid].run

    def nodes(self, uid: str) -> list[records.Node]:
        """A run's nodes."""
        run = self.state.runs.get(uid)
        return list(run.nodes.values()) if run is not None else []

    def phase(self, uid: str) -> Phase:
        """A run's phase."""
        return self.run(uid).phase

    def phases(self) -> dict[str, str]:
        """The phases of all runs by name; of those without a place "postponed"."""
        return {run.run.name: "postponed" if run.run.postponed else str(run.run.phase) for run in self.state.runs.values()}

    def commanded(self, kind: type[Command]) -> list[Command]:
        """The commands of a kind since the last look at any."""
        found = [command for command in self.commands if isinstance(command, kind)]
        self.commands = []
        return found

    def there(self, kind: type[Command]) -> list[Command]:
        """The items of a kind."""
        return [item for item in self.state.shared.registry.items() if isinstance(item, kind)]
