"""What is in force for all runs: definitions, cron workflows, ticks, submissions, notifications; and the places of runs that go on.

Everything here is the rows of `items`, or a sum over the rows of runs; nothing of it is kept apart.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, assert_never

from tiphys.scheduler.items import Claim, Cron, Definable, Definition, Item, Outbox, Tick
from tiphys.scheduler.records import Run
from tiphys.spec.status import Phase
from tiphys.spec.templates import Outputs
from tiphys.spec.workflows import ClusterWorkflowTemplate, ConfigMap, CronWorkflow, WorkflowTemplate

CRON_LABEL = "workflows.argoproj.io/cron-workflow"
MOST_TICKS = 500
"""How many ticks of one cron workflow are remembered."""


class Registry:
    """The items by their keys."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self.crons: dict[str, Cron] = {}
        self.ticks: dict[str, dict[str, Tick]] = {}
        self.claims: dict[str, Claim] = {}
        self.outbox: dict[str, Outbox] = {}

    def put(self, item: Item) -> None:
        """Take an item in, new or changed."""
        match item:
            case Definition():
                self.definitions[item.key] = item
            case Cron():
                self.crons[item.key] = item
            case Tick():
                self.ticks.setdefault(f"{item.namespace}/{item.name}", {})[item.key] = item
            case Claim():
                self.claims[item.key] = item
            case Outbox():
                self.outbox[item.key] = item
            case _:
                assert_never(item)

    def remove(self, kind: str, key: str) -> None:
        """Forget an item."""
        match kind:
            case "Definition":
                self.definitions.pop(key, None)
            case "Cron":
                self.crons.pop(key, None)
            case "Tick":
                of = key.rsplit("/", 1)[0]
                self.ticks.get(of, {}).pop(key, None)
                if not self.ticks.get(of):
                    self.ticks.pop(of, None)
            case "Claim":
                self.claims.pop(key, None)
            case "Outbox":
                self.outbox.pop(key, None)
            case _:
                raise AssertionError(kind)

    def items(self) -> Iterator[Item]:
        """All of them."""
        yield from self.definitions.values()
        yield from self.crons.values()
        for ticks in self.ticks.values():
            yield from ticks.values()
        yield from self.claims.values()
        yield from self.outbox.values()

    def of_source(self, source: str) -> list[Definition]:
        """The definitions that come from one file, by their keys."""
        found = [definition for definition in self.definitions.values() if definition.source == source]
        return sorted(found, key=lambda definition: definition.key)

    def ticks_of(self, key: str) -> list[Tick]:
        """The ticks of a cron workflow (`namespace/name`), the oldest moment first."""
        return sorted(self.ticks.get(key, {}).values(), key=lambda tick: tick.scheduled_at)

    def documents(self) -> list[Definable]:
        """Every document in force."""
        return [found.document for found in self.definitions.values()]

    def template(self, namespace: str, name: str) -> WorkflowTemplate | None:
        """A WorkflowTemplate in force."""
        found = self.definitions.get(f"WorkflowTemplate/{namespace}/{name}")
        return found.document if found is not None and isinstance(found.document, WorkflowTemplate) else None

    def cluster_template(self, name: str) -> ClusterWorkflowTemplate | None:
        """A ClusterWorkflowTemplate in force."""
        found = self.definitions.get(f"ClusterWorkflowTemplate//{name}")
        return found.document if found is not None and isinstance(found.document, ClusterWorkflowTemplate) else None

    def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        """A ConfigMap in force."""
        found = self.definitions.get(f"ConfigMap/{namespace}/{name}")
        return found.document if found is not None and isinstance(found.document, ConfigMap) else None

    def cron_workflow(self, namespace: str, name: str) -> CronWorkflow | None:
        """A CronWorkflow in force."""
        found = self.definitions.get(f"CronWorkflow/{namespace}/{name}")
        return found.document if found is not None and isinstance(found.document, CronWorkflow) else None


Rank = tuple[int, datetime, str]
"""A run's turn: priority (the highest first), age, uid."""


class Postponed(NamedTuple):
    """A run that waits until fewer run: by priority and age."""

    rank: Rank
    namespace: str


class Memo(NamedTuple):
    """What a node gave that succeeded with a memo key; of several under one key the newest counts."""

    finished_at: datetime
    uid: str
    node_id: str
    outputs: Outputs | None


class Memos:
    """What is remembered, by namespace, cache and key: exactly the rows of nodes that are there."""

    def __init__(self) -> None:
        self._memos: dict[tuple[str, str, str], dict[tuple[str, str], Memo]] = {}

    def put(self, key: tuple[str, str, str], memo: Memo) -> None:
        """Remember."""
        self._memos.setdefault(key, {})[memo.uid, memo.node_id] = memo

    def remove(self, key: tuple[str, str, str], uid: str, node_id: str) -> None:
        """Forget what one node gave."""
        found = self._memos.get(key, {})
        found.pop((uid, node_id), None)
        if not found:
            self._memos.pop(key, None)

    def get(self, key: tuple[str, str, str]) -> Memo | None:
        """The newest."""
        return max(self._memos.get(key, {}).values(), key=lambda memo: memo[:3], default=None)


class Crowd:
    """The runs by what rules ask of them: who waits for a place, who came from which cron workflow, who ended how and when."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Rank]] = {}
        self.by_cron: dict[str, dict[str, Run]] = {}
        self.ended: dict[Phase, dict[str, datetime]] = {}
        self.by_name: dict[tuple[str, str], dict[str, None]] = {}

    @property
    def postponed(self) -> list[Postponed]:
        """Who waits for a place, the first first."""
        return sorted(Postponed(rank, namespace) for namespace, ranks in self._waiting.items() for rank in ranks)

    def first_postponed(self, besides: str = "") -> list[Postponed]:
        """Of each namespace the first that waits (`besides` this uid), the first of them first: only these can be next."""
        heads = ((namespace, [rank for rank in ranks[:2] if rank[2] != besides]) for namespace, ranks in self._waiting.items())
        return sorted(Postponed(ranks[0], namespace) for namespace, ranks in heads if ranks)

    def _wait(self, rank: Rank, namespace: str) -> None:
        insort(self._waiting.setdefault(namespace, []), rank)

    def _leave(self, rank: Rank, namespace: str) -> None:
        ranks = self._waiting[namespace]
        del ranks[bisect_left(ranks, rank)]
        if not ranks:
            del self._waiting[namespace]

    def put(self, rank: Rank, old: Run | None, new: Run) -> None:
        """Take a run's row in; `old`: as it was (None: it is new)."""
        if old is None:
            self.by_name.setdefault((new.namespace, new.name), {})[new.uid] = None
        if (old is not None and old.postponed) != new.postponed:
            (self._wait if new.postponed else self._leave)(rank, new.namespace)
        if CRON_LABEL in new.labels:
            self.by_cron.setdefault(f"{new.namespace}/{new.labels[CRON_LABEL]}", {})[new.uid] = new
        if old is not None and old.phase.completed and (old.phase is not new.phase or old.finished_at != new.finished_at):
            self._not_ended(old)
        if new.phase.completed:
            self.ended.setdefault(new.phase, {})[new.uid] = new.finished_at or new.created_at

    def _not_ended(self, run: Run) -> None:
        ended = self.ended.get(run.phase, {})
        ended.pop(run.uid, None)
        if not ended:
            self.ended.pop(run.phase, None)

    def remove(self, rank: Rank, run: Run) -> None:
        """Forget a run."""
        if run.postponed:
            self._leave(rank, run.namespace)
        of = f"{run.namespace}/{run.labels.get(CRON_LABEL, '')}"
        self.by_cron.get(of, {}).pop(run.uid, None)
        if not self.by_cron.get(of, True):
            del self.by_cron[of]
        self._not_ended(run)
        same = self.by_name.get((run.namespace, run.name), {})
        same.pop(run.uid, None)
        if not same:
            self.by_name.pop((run.namespace, run.name), None)
