"""A day in a house of many runs: submissions, ticks, definitions, wishes and settings at drawn times, and crashes wherever they hurt.

Everything follows from the seed and not from the order of things: a day with crashes can be held against the same day without. A crash
loses memory and timers, and now and then everything that the last recorded decisions commanded; what the rows say goes on.
"""

import random
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import structs

from tests.generated import busy, workflows
from tests.generated.book import Book, danger
from tests.scheduler.hall import CRON, Rows, config_map, cron, workflow
from tiphys.scheduler import decide, decision, events, items, laws, records, retention, state
from tiphys.spec import work
from tiphys.spec.artifacts import S3, Artifact, ArtifactGC
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.workflows import ObjectMeta, Workflow

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
MOST_STEPS = 6000
LENGTH = 60
DAEMONS = frozenset({"server", "flaky"})
NAMESPACES = ("default", "other")
LEAF = {"name": "leaf", "container": {"image": "any", "command": ["work"]}}
STRATEGIES = ("", "OnWorkflowCompletion", "OnWorkflowDeletion", "Never")
SOME = "some"
"""Stands for a node, which is drawn when the wish is told."""
WISHES: tuple[events.Wish, ...] = (
    events.Delete(), events.Delete(), events.Delete(force=True), events.Retry(), events.Retry(), events.Stop(), events.Terminate(),
    events.Retry(restart=(SOME,)), events.Retry(restart=(SOME,)), events.SetNode(nodes=(SOME,), phase=Phase.SUCCEEDED),
    events.SetNode(nodes=(SOME,), phase=Phase.FAILED), events.Resume(),
)  # fmt: skip
Attempt = tuple[str, str, int]


def a_rule(chance: random.Random) -> items.Rules:
    """Settings."""
    return items.Rules(
        parallelism=chance.choice([0, 1, 2, 3]),
        namespace_parallelism=chance.choice([0, 0, 1, 2]),
        namespaces={"other": chance.randint(0, 2)} if chance.random() < 0.3 else {},
        completed=chance.choice([0, 0, 2]),
        failed=chance.choice([0, 0, 1]),
        errored=chance.choice([0, 1]),
        archive=chance.random() < 0.8,
        targets=(items.Target(name="told", phases=frozenset({"Pending", "Running", "Succeeded", "Failed", "Error"})),),
    )


def _spec(chance: random.Random) -> dict[str, Any]:
    spec: dict[str, Any] = {"priority": chance.choice([0, 0, 0, 1, -1])}
    if chance.random() < 0.4:
        keys = ("secondsAfterCompletion", "secondsAfterSuccess", "secondsAfterFailure")
        spec["ttlStrategy"] = {key: chance.randint(0, 9) for key in keys if chance.random() < 0.5}
    if chance.random() < 0.3:
        spec["podGC"] = {"strategy": chance.choice(["OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess"])}
    if chance.random() < 0.4:
        spec["artifactGC"] = {"strategy": chance.choice(STRATEGIES), "forceFinalizerRemoval": chance.random() < 0.3}
    if chance.random() < 0.2:
        spec["synchronization"] = chance.choice(
            [{"mutexes": [{"name": "whole"}]}, {"semaphores": [{"configMapKeyRef": {"name": "limits", "key": "most"}}]}]
        )
    return spec


def a_workflow(chance: random.Random, name: str, namespace: str) -> Workflow:
    """A workflow of `tests.generated`, or a short one, with what matters among many."""
    labels = {"workflows.argoproj.io/workflow-template": chance.choice("ab")} if chance.random() < 0.3 else {}
    if chance.random() < 0.6:
        made = workflows.workflow(chance, hard=chance.random() < 0.6)
        document = msgspec.to_builtins(structs.replace(made, metadata=ObjectMeta(name=name, namespace=namespace, labels=labels)))
        document["spec"].update(_spec(chance))
        document["spec"]["suspend"] = chance.random() < 0.05
        return msgspec.convert(document, Workflow)
    spec = _spec(chance)
    if chance.random() < 0.3:
        spec |= {"onExit": "leaf"}
    if chance.random() < 0.2:
        spec |= {"activeDeadlineSeconds": chance.randint(1, 8)}
    leaf = {**LEAF, **({"memoize": {"key": chance.choice("xy"), "cache": {"configMap": {"name": "c"}}}} if chance.random() < 0.2 else {})}
    return workflow(name, namespace, labels, templates=[leaf], **spec)


def a_cron(chance: random.Random, name: str) -> items.Definable:
    """A CronWorkflow."""
    spec: dict[str, Any] = {"concurrencyPolicy": chance.choice(["", "Allow", "Forbid", "Replace"]), "suspend": chance.random() < 0.1}
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if chance.random() < 0.5:
            spec[key] = chance.randint(-1, 2)
    if chance.random() < 0.3:
        spec["stopStrategy"] = {"expression": chance.choice(["cronworkflow.failed >= 2", "cronworkflow.succeeded > 3", "1"])}
    if chance.random() < 0.3:
        spec["when"] = chance.choice(
            ["{{= cronworkflow.failed < 2 }}", "true", "{{nothing}}", "{{= cronworkflow.lastScheduledTime == nil }}"]
        )
    return cron(name, **spec)


class Plan:
    """What comes from outside, and when: facts, or settings."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(f"{seed}/plan")
        self.slice = chance.choice([300, 300, 20, 1])
        self.rules = structs.replace(a_rule(chance), slice=self.slice)
        self.due: list[tuple[datetime, int, events.Event | items.Rules]] = []
        self._chance = chance
        uids = [f"w{number}" for number in range(chance.randint(2, 6))]
        for uid in uids:
            self._submit(uid)
        for name in ("tick", "tock")[: chance.randint(0, 2)]:
            uids += self._cron(name)
        self._add(0, self._defined("limits.yaml", config_map("limits", most=str(chance.randint(1, 2)))))
        for _ in range(chance.randint(0, 2)):
            documents = [config_map("limits", most=str(chance.randint(0, 3)))] if chance.random() < 0.8 else []
            self._add(self._second(), self._defined("limits.yaml", *documents))
        self._add(LENGTH, self._defined("limits.yaml", config_map("limits", most="2")))
        self._add(0, self._defined("bounds.yaml", busy.bounds(chance)))
        for _ in range(chance.randint(0, 2)):
            self._add(self._second(), self._defined("bounds.yaml", *[busy.bounds(chance)][: chance.randint(0, 4)]))
        self._add(LENGTH, self._defined("bounds.yaml", busy.bounds(chance)))
        for uid in uids:
            self._add(LENGTH, events.Asked(at=BEGAN, uid=uid, wish=events.Resume(), who="somebody"))
        for _ in range(chance.randint(0, 9)):
            self._wish(chance.choice(uids))
        for _ in range(chance.randint(0, 2)):
            self._add(self._second(), structs.replace(a_rule(chance), slice=self.slice))
        self.due.sort(key=lambda one: one[:2])

    def _second(self) -> float:
        return self._chance.randint(1, LENGTH)

    def _add(self, second: float, what: events.Event | items.Rules) -> None:
        at = BEGAN + timedelta(seconds=second)
        self.due.append((at, len(self.due), structs.replace(what, at=at) if not isinstance(what, items.Rules) else what))

    def _defined(self, source: str, *documents: items.Definable) -> events.Event:
        return events.Defined(at=BEGAN, source=source, documents=documents)

    def _submit(self, uid: str) -> None:
        namespace = self._chance.choice(NAMESPACES)
        manifest = records.Manifest(uid=uid, workflow=a_workflow(self._chance, uid, namespace))
        key = uid if self._chance.random() < 0.3 else ""
        event = events.Submitted(at=BEGAN, uid=uid, seed=uid, manifest=manifest, key=key)
        second = self._second() / 3
        self._add(second, event)
        if key:
            self._add(second + 1, structs.replace(event, uid=f"{uid}-again"))
            self._add(second + 2, events.Forgotten(at=BEGAN, key=key))

    def _cron(self, name: str) -> list[str]:
        """A CronWorkflow, its ticks, and perhaps its change and its end; the uids of its workflows."""
        self._add(1, self._defined(f"{name}.yaml", a_cron(self._chance, name)))
        if self._chance.random() < 0.5:
            documents = [a_cron(self._chance, name)] if self._chance.random() < 0.5 else []
            self._add(self._second(), self._defined(f"{name}.yaml", *documents))
        every = self._chance.randint(3, 12)
        uids = []
        for second in range(2, LENGTH, every):
            at = BEGAN + timedelta(seconds=second)
            child = f"{name}-{second}"
            uids.append(child)
            made = a_workflow(self._chance, child, "default")
            labels = {**(made.metadata.labels or {}), CRON: name}
            made = structs.replace(made, metadata=structs.replace(made.metadata, labels=labels))
            fails, missed, manual = (self._chance.random() < 0.1 for _ in range(3))
            event = events.Ticked(
                at=at,
                namespace="default",
                name=name,
                scheduled_at=at,
                child="" if fails or missed else child,
                seed=child,
                manifest=None if fails or missed else records.Manifest(uid=child, workflow=made),
                error="cannot be made" if fails else "",
                missed="it was missed" if missed else "",
                manual=manual and not fails and not missed,
            )
            self._add(second, event)
            if self._chance.random() < 0.1:
                self._add(second, event)
        return uids

    def _wish(self, uid: str) -> None:
        second = self._second()
        if self._chance.random() < 0.25:
            self._add(second, events.Asked(at=BEGAN, uid=uid, wish=events.Suspend(), who="somebody"))
            self._add(second + self._chance.randint(1, 9), events.Asked(at=BEGAN, uid=uid, wish=events.Resume(), who="somebody"))
        else:
            self._add(second, events.Asked(at=BEGAN, uid=uid, wish=self._chance.choice(WISHES), who="somebody"))


class Crowd:
    """The house on that day. `crash`: the chance of one before each thing that happens, and in the middle of it."""

    def __init__(self, seed: int, *, crash: float = 0.0) -> None:
        self._seed = seed
        self._crash = crash
        self._chance = random.Random(f"{seed}/{crash}")
        plan = Plan(seed)
        self._plan = deque(plan.due)
        self.now = BEGAN
        self.rows = Rows()
        self.state = state.State()
        self.state.shared.rules = plan.rules
        self.broken: list[str] = []
        self.cleaned: set[str] = set()
        self._launched: set[Attempt] = set()
        self._live: dict[Attempt, tuple[datetime | None, work.Outcome]] = {}
        self._ready: dict[Attempt, datetime] = {}
        self._timers: dict[tuple[str, str], datetime] = {}
        self._book = Book()
        self._collections: dict[tuple[str, ...], datetime] = {}
        self._collecting: dict[str, tuple[str, ...]] = {}

    @property
    def sliced(self) -> bool:
        """Whether decisions are cut where they can be."""
        return self.state.shared.rules.slice < items.Rules().slice

    def play(self) -> bool:
        """Let the day pass; whether everything came to its end."""
        for _ in range(MOST_STEPS):
            if self._chance.random() < self._crash:
                self._restart()
            if self.broken:
                return False
            if not self._next():
                left = [run.run.name for run in self.state.runs.values() if not run.run.phase.completed]
                self.broken += [f"{name} never ends" for name in left]
                return not left
        self.broken.append("it never ends")
        return False

    def end(self) -> dict[str, object]:
        """All that is left, and all that was cleaned and archived."""
        return {
            "runs": self.rows.runs,
            "nodes": {uid: {n.name: (n.phase, n.message) for n in nodes.values()} for uid, nodes in self.rows.nodes.items()},
            "items": self.rows.items,
            "archive": sorted((one.metadata.uid, one.status.phase if one.status is not None else "") for one in self.rows.archive),
            "cleaned": {order for order in self.cleaned if order.split("/")[0] in self.rows.runs},
        }

    # facts

    def _tell(self, *facts: events.Event) -> None:
        """Decide facts, each with what follows from it, as one batch; then do what is commanded, or crash before."""
        commands: list[decision.Command] = []
        todo = deque(facts)
        while todo:
            made = self._decide(todo.popleft())
            if made is not None:
                todo.extendleft(reversed(made.follows))
                commands += made.commands
            if not todo and (more := [uid for uid, run in self.state.runs.items() if run.rest]):
                if self._chance.random() < self._crash / 8:
                    self._restart()
                    return
                todo.append(events.Continued(at=self.now, uid=self._chance.choice(more)))
        if self._chance.random() < self._crash * danger(commands):
            self._restart()
            return
        wakes: list[events.Event] = [events.Woken(at=self.now, uid=c.uid) for c in commands if isinstance(c, decision.Wake)]
        for command in commands:
            self._do(command)
        if wakes:
            self._tell(*wakes)
        else:
            self._check()

    def _decide(self, event: events.Event) -> decision.Decision | None:
        answer = decide.decide(self.state, event)
        if not self.sliced and decide.decide(self.state, event) != answer:
            self.broken.append(f"{type(event).__name__}: the same fact on the same state was decided otherwise")
        if isinstance(answer, decision.Refusal):
            return None
        self.broken += laws.step(self.state.runs.get(answer.uid), answer)
        taken, held = laws.places(self.state), laws.held(self.state)
        self.state.apply(answer)
        self.broken += [f"{type(event).__name__} of {answer.uid}: {broken}" for broken in laws.over_locked(held, self.state)]
        self.broken += [f"{type(event).__name__} of {answer.uid}: {broken}" for broken in laws.over_limits(taken, self.state)]
        for change in answer.changes:
            self.rows.take(change)
        return answer

    def _check(self) -> None:
        self.broken += laws.common(self.state)
        for run in self.state.runs.values():
            self.broken += laws.check(run)
        self.broken += self._book.faults(self.state, self._timers)

    def _restart(self) -> None:
        rules = self.state.shared.rules
        self._timers.clear()
        self._book.crash()
        self._collecting.clear()
        self.state = self.rows.loaded(rules)
        for command in list(self._book.end_strays(self.state)):
            self._do(command)
        concerned = [
            uid
            for uid, run in self.rows.runs.items()
            if not run.phase.completed or retention.concerns(run, self.rows.manifests[uid].workflow.spec)
        ]
        self._tell(*(events.DaemonStarted(at=self.now, uid=uid) for uid in concerned))

    # commands

    def _do(self, command: decision.Command) -> None:
        self.broken += self._book.note(command)
        match command:
            case decision.Launch(uid=uid, node_id=node_id, attempt=attempt):
                if (uid, node_id, attempt) in self._launched:
                    self.broken.append(f"{uid}/{node_id}/{attempt} was launched twice")
                self._launch((uid, node_id, attempt))
            case decision.Adopt(uid=uid, node_id=node_id, attempt=attempt):
                if (uid, node_id, attempt) not in self._launched:
                    self._launch((uid, node_id, attempt))
            case decision.StopAttempt(uid=uid, node_id=node_id, attempt=attempt):
                if (uid, node_id, attempt) in self._live:
                    self._live[uid, node_id, attempt] = (self.now, work.Outcome(kind=work.OutcomeKind.STOPPED, exit_code=143))
            case decision.SetTimer(uid=uid, key=key, at=at):
                self._timers[uid, key] = at
            case decision.Finish(uid=uid):
                self._timers = {timer: at for timer, at in self._timers.items() if timer[0] != uid}
            case decision.Clean(orders=orders):
                self.cleaned.update(orders)
            case decision.DeleteArtifacts(uid=uid, artifacts=artifacts):
                if uid in self._collecting:
                    self.broken.append(f"two deletions of artifacts of {uid} go on at once")
                what = (uid, *sorted(artifact.name for artifact in artifacts))
                self._collecting[uid] = what
                self._collections.setdefault(what, self.now + timedelta(seconds=random.Random(f"{self._seed}/{what}").randint(0, 4)))

    def _launch(self, key: Attempt) -> None:
        self._launched.add(key)
        uid, node_id, attempt = key
        run = self.state.runs.get(uid)
        if run is None or node_id not in run.nodes:
            return  # it has gone since
        node = run.nodes[node_id]
        chance = random.Random(f"{self._seed}/{uid}/{node.name}/seconds")
        ends = self.now + timedelta(seconds=chance.randint(1, 6))
        outcome = self._outcome(uid, node.name, attempt)
        if node.template in DAEMONS and chance.random() < 0.9:
            self._ready[key] = ends
            self._live[key] = (ends + timedelta(seconds=chance.randint(1, 9)) if chance.random() < 0.3 else None, outcome)
        else:
            self._live[key] = (ends, outcome)

    def _outcome(self, uid: str, name: str, attempt: int) -> work.Outcome:
        chance = random.Random(f"{self._seed}/{uid}/{name}/{attempt}")
        drawn = chance.random()
        artifacts = ()
        if chance.random() < 0.4:
            own = chance.choice(STRATEGIES)
            gc = ArtifactGC(strategy=own) if own else None
            artifacts = (Artifact(name=f"{name}-{attempt}", path="/out", s3=S3(key=f"{uid}/{name}/{attempt}"), artifact_gc=gc),)
        if drawn < 0.75:
            parameters = {"said": "v"}
            return work.Outcome(kind=work.OutcomeKind.SUCCEEDED, exit_code=0, result="1", parameters=parameters, artifacts=artifacts)
        if drawn < 0.92:
            message = "main: Error (exit code 1)"
            return work.Outcome(kind=work.OutcomeKind.FAILED, exit_code=chance.randint(1, 3), message=message, artifacts=artifacts)
        return work.Outcome(kind=work.OutcomeKind.ERROR, message="the engine's own trouble")

    # time

    def _next(self) -> bool:
        due: list[tuple[datetime, str, str, str, int]] = [(at, "timer", uid, key, 0) for (uid, key), at in self._timers.items()]
        due += [(at, "exit", *key) for key, (at, _) in self._live.items() if at is not None]
        due += [(at, "ready", *key) for key, at in self._ready.items() if key in self._live]
        due += [(self._collections[what], "collected", uid, "", 0) for uid, what in self._collecting.items()]
        due += [(at, "planned", "", "", number) for at, number, _ in list(self._plan)[:1]]
        if not due:
            return False
        at, what, uid, key, attempt = min(due)
        self.now = max(self.now, at)
        match what:
            case "timer":
                del self._timers[uid, key]
                self._tell(events.TimerFired(at=self.now, uid=uid, key=key))
            case "ready":
                self._is_ready((uid, key, attempt))
            case "exit":
                self._exit((uid, key, attempt))
            case "collected":
                self._collected(uid)
            case _:
                self._planned(self._plan.popleft()[2])
        return True

    def _planned(self, what: events.Event | items.Rules) -> None:
        if isinstance(what, items.Rules):
            self.state.shared.rules = what
            self._tell(*(events.Woken(at=self.now, uid=one.rank[2]) for one in self.state.shared.crowd.postponed))
        else:
            self._tell(self._meant(what))

    def _meant(self, fact: events.Event) -> events.Event:
        """The fact, with a node of the run where its wish is for some node."""
        match fact:
            case events.Asked(uid=uid, wish=events.Retry(restart=(_,)) | events.SetNode() as wish) if uid in self.state.runs:
                found = sorted(self.state.runs[uid].nodes.values(), key=lambda node: node.name)
                if isinstance(wish, events.SetNode):
                    found = [node for node in found if node.type is NodeType.SUSPEND and not node.phase.fulfilled]
                some = (random.Random(f"{self._seed}/{fact.at}").choice(found).id,) if found else ()
                wish = structs.replace(wish, nodes=some) if isinstance(wish, events.SetNode) else structs.replace(wish, restart=some)
                return structs.replace(fact, wish=wish)
        return fact

    def _collected(self, uid: str) -> None:
        what = self._collecting.pop(uid)
        del self._collections[what]
        fails = random.Random(f"{self._seed}/{what}/fails").random() < 0.2  # always, since a restart tries again
        self._tell(events.ArtifactsDeleted(at=self.now, uid=uid, error="no access" if fails else ""))

    def _is_ready(self, key: Attempt) -> None:
        del self._ready[key]
        uid, node_id, attempt = key
        self._started(key)
        report = work.Report(ready=True, ip="127.0.0.1")
        self._tell(events.Reported(at=self.now, uid=uid, node_id=node_id, attempt=attempt, report=report))

    def _exit(self, key: Attempt) -> None:
        _, outcome = self._live.pop(key)
        uid, node_id, attempt = key
        self._started(key)
        self._book.ended(*key)
        self._tell(events.Exited(at=self.now, uid=uid, node_id=node_id, attempt=attempt, outcome=outcome))

    def _started(self, key: Attempt) -> None:
        uid, node_id, attempt = key
        handle = work.Handle(executor="crowd", text=node_id)
        self._tell(events.Started(at=self.now, uid=uid, node_id=node_id, attempt=attempt, handle=handle))
