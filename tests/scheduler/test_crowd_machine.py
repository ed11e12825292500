"""Many runs, definitions, ticks, deletions and settings in any order, with a crash between any two facts: the laws hold, and a house that
never crashed has the same rows. `HYPOTHESIS_PROFILE=fuzz pytest tests/scheduler/test_crowd_machine.py` looks longer.
"""

import os
import random
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
from hypothesis import stateful

from tests.generated import busy, crowd
from tests.scheduler.hall import CRON, Hall, config_map
from tiphys.scheduler import events, records
from tiphys.spec import work
from tiphys.spec.artifacts import S3, Artifact, ArtifactGC

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20000")) if FUZZ else 100
KINDS = [work.OutcomeKind.SUCCEEDED] * 3 + [work.OutcomeKind.FAILED, work.OutcomeKind.ERROR, work.OutcomeKind.INTERRUPTED]
WISHES: list[events.Wish] = [
    events.Delete(), events.Delete(force=True), events.Retry(), events.Retry(), events.Stop(), events.Terminate(), events.Suspend(),
    events.Resume(), events.Resume(),
]  # fmt: skip
seeds = st.integers(0, 2**32)
places = st.integers(0, 1000)


class Machine(stateful.RuleBasedStateMachine):
    """Two houses that hear the same; one of them crashes."""

    @stateful.initialize(seed=seeds)
    def open(self, seed: int) -> None:
        self.crashing, self.steady = Hall(), Hall()
        self.count = 0
        self.configure(seed)

    def both(self, do: Callable[[Hall], object]) -> None:
        """Let the same happen in both."""
        do(self.crashing)
        do(self.steady)

    def tell(self, event: events.Event) -> None:
        """Tell both the same."""
        self.both(lambda hall: hall.tell(event))

    @stateful.rule(seed=seeds)
    def configure(self, seed: int) -> None:
        rule = crowd.a_rule(random.Random(seed))
        fields = {name: getattr(rule, name) for name in rule.__struct_fields__}
        self.both(lambda hall: hall.configure(**fields))

    def _manifest(self, seed: int, name: str, **labels: str) -> records.Manifest:
        chance = random.Random(seed)
        made = crowd.a_workflow(chance, name, "default" if labels else chance.choice(crowd.NAMESPACES))
        meta: Any = made.metadata
        workflow = type(made)(
            api_version=made.api_version,
            metadata=type(meta)(name=name, namespace=meta.namespace, labels={**(meta.labels or {}), **labels}),
            spec=made.spec,
        )
        return records.Manifest(uid=name, workflow=workflow)

    @stateful.rule(seed=seeds, key=st.sampled_from(["", "", "a", "b"]))
    def a_workflow_is_submitted(self, seed: int, key: str) -> None:
        self.count += 1
        name = f"w{self.count}"
        self.tell(events.Submitted(at=self.steady.now, uid=name, seed=name, manifest=self._manifest(seed, name), key=key))

    @stateful.rule(key=st.sampled_from(["a", "b"]))
    def a_submission_is_forgotten(self, key: str) -> None:
        self.tell(events.Forgotten(at=self.steady.now, key=key))

    @stateful.rule(seed=seeds, name=st.sampled_from(["tick", "tock"]), gone=st.integers(0, 3))
    def a_cron_workflow_is_defined_or_goes(self, seed: int, name: str, gone: int) -> None:
        documents = (crowd.a_cron(random.Random(seed), name),) if gone else ()
        self.both(lambda hall: hall.define(*documents, source=f"{name}.yaml"))

    @stateful.rule(most=st.integers(-1, 3))
    def a_limit_is_another(self, most: int) -> None:
        documents = (config_map("limits", most=str(most)),) if most >= 0 else ()
        self.both(lambda hall: hall.define(*documents, source="limits.yaml"))

    @stateful.rule(
        seed=seeds, name=st.sampled_from(["tick", "tock"]), manual=st.booleans(), made=st.integers(0, 4), missed=st.integers(0, 4)
    )
    def a_schedule_ticks(self, seed: int, name: str, *, manual: bool, made: int, missed: int) -> None:
        self.count += 1
        child = f"{name}-{self.count}"
        manifest = self._manifest(seed, child, **{CRON: name}) if made and missed else None
        event = events.Ticked(
            at=self.steady.now,
            namespace="default",
            name=name,
            scheduled_at=self.steady.now,
            child=child if manifest else "",
            seed=child,
            manifest=manifest,
            missed="" if missed else "missed",
            manual=manual and manifest is not None,
        )
        self.tell(event)

    def _live(self, place: int) -> records.Node | None:
        live = [(uid, node) for uid in self.steady.state.runs for node in self.steady.nodes(uid)]
        live = [(uid, node) for uid, node in live if node.type in ("Pod", "HTTP") and not node.phase.fulfilled and not node.waiting_for]
        if not live:
            return None
        self.uid, node = live[place % len(live)]
        return node

    @stateful.rule(place=places, kind=st.sampled_from(KINDS), strategy=st.sampled_from(crowd.STRATEGIES))
    def an_attempt_ends(self, place: int, kind: work.OutcomeKind, strategy: str) -> None:
        node = self._live(place)
        if node is None:
            return
        gc = ArtifactGC(strategy=strategy) if strategy else None
        artifact = Artifact(name=f"{node.name}-{node.attempt}", path="/out", s3=S3(key=node.id), artifact_gc=gc)
        outcome = work.Outcome(kind=kind, exit_code=int(kind != "succeeded"), message="why", artifacts=(artifact,))
        handle = work.Handle(executor="house", text=node.id)
        self.tell(events.Started(at=self.steady.now, uid=self.uid, node_id=node.id, attempt=node.attempt, handle=handle))
        self.tell(events.Exited(at=self.steady.now, uid=self.uid, node_id=node.id, attempt=node.attempt, outcome=outcome))

    @stateful.rule(place=places, wish=st.sampled_from(WISHES))
    def somebody_wants_something(self, place: int, wish: events.Wish) -> None:
        uids = list(self.steady.state.runs)
        if uids:
            self.both(lambda hall: hall.ask(uids[place % len(uids)], wish))

    @stateful.rule(place=places)
    def an_archived_run_is_retried(self, place: int) -> None:
        uids = list(self.steady.rows.remains)
        if uids:
            self.count += 1
            said = {hall.revive(uids[place % len(uids)], f"again{self.count}") for hall in (self.crashing, self.steady)}
            assert len(said) == 1

    @stateful.rule(place=places, error=st.sampled_from(["", "", "no access"]))
    def artifacts_are_deleted_or_not(self, place: int, error: str) -> None:
        uids = [uid for uid, run in self.steady.state.runs.items() if run.run.collecting]
        if uids:
            self.tell(events.ArtifactsDeleted(at=self.steady.now, uid=uids[place % len(uids)], error=error))

    @stateful.rule(place=places, again=st.booleans())
    def a_notification_is_tried(self, place: int, *, again: bool) -> None:
        found = sorted(self.steady.state.shared.registry.outbox)
        if found:
            at = self.steady.now if again else None
            self.tell(events.Notified(at=self.steady.now, notice_id=found[place % len(found)], error="no", again_at=at))

    @stateful.rule(seconds=st.integers(0, 9))
    def time_passes(self, seconds: int) -> None:
        self.both(lambda hall: hall.clock(seconds=seconds))

    @stateful.rule()
    def it_crashes(self) -> None:
        if not any(run.artifact_gc_error and run.deleting for run in self.crashing.rows.runs.values()):  # a restart would try again
            self.crashing.reload()

    @stateful.invariant()
    def the_rows_are_the_same(self) -> None:
        if hasattr(self, "steady"):
            assert self.crashing.rows.items == self.steady.rows.items
            assert self.crashing.rows.runs == self.steady.rows.runs
            assert self.crashing.rows.nodes == self.steady.rows.nodes
            assert self.crashing.rows.archive == self.steady.rows.archive
            assert self.crashing.rows.remains == self.steady.rows.remains

    def teardown(self) -> None:
        """Everything comes to its end: what waits is let in, what is suspended goes on."""
        if not hasattr(self, "steady"):
            return
        self.both(lambda hall: hall.define(config_map("limits", most="9"), source="limits.yaml"))
        self.both(lambda hall: hall.define(busy.bounds(random.Random(0)), source="bounds.yaml"))
        for _ in range(1000):
            if self._live(0) is not None:
                self.an_attempt_ends(0, work.OutcomeKind.SUCCEEDED, "")
                continue
            for uid in list(self.steady.state.runs):
                self.both(lambda hall, uid=uid: hall.ask(uid, events.Resume()) if uid in hall.state.runs else None)  # type: ignore[misc]
            if all(run.run.phase.completed for run in self.steady.state.runs.values()):
                break
            self.time_passes(5)
        else:
            raise AssertionError(f"it does not come to its end: {self.steady.phases()}")


Machine.TestCase.settings = hypothesis.settings(
    max_examples=EXAMPLES,
    stateful_step_count=60 if FUZZ else 30,
    deadline=None,
    derandomize=not FUZZ,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
TestMachine = Machine.TestCase
