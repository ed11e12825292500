"""What is in force for all runs: definitions, cron workflows, ticks, submissions, notifications; and the places of runs that go on.

Everything here is the rows of `items`, or a sum over the rows of runs; nothing of it is kept apart.
"""

from bisect import insort
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, assert_never

from tiphys.scheduler.items import Claim, Cron, Definable, Definition, Item, Outbox, Tick
from tiphys.scheduler.records import Run
from tiphys.spec.status import Phase
from tiphys.spec.workflows import ClusterWorkflowTemplate, ConfigMap, CronWorkflow, WorkflowTemplate

CRON_LABEL = "workflows.argoproj.io/cron-workflow"
MOST_TICKS = 100
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
        """The definitions that come from one file."""
        return [found for found in self.definitions.values() if found.source == source]

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


class Postponed(NamedTuple):
    """A run that waits until fewer run: by priority and age."""

    rank: tuple[int, datetime, str]
    namespace: str


class Crowd:
    """The runs by what rules ask of them: who waits for a place, who came from which cron workflow, who ended how and when."""

    def __init__(self) -> None:
        self.postponed: list[Postponed] = []
        self.by_cron: dict[str, dict[str, Run]] = {}
        self.ended: dict[Phase, dict[str, datetime]] = {}
        self.by_name: dict[tuple[str, str], dict[str, None]] = {}

    def put(self, rank: tuple[int, datetime, str], old: Run | None, new: Run) -> None:
        """Take a run's row in; `old`: as it was (None: it is new)."""
        if old is None:
            self.by_name.setdefault((new.namespace, new.name), {})[new.uid] = None
        if (old is not None and old.postponed) != new.postponed:
            entry = Postponed(rank, new.namespace)
            if new.postponed:
                insort(self.postponed, entry)
            else:
                self.postponed.remove(entry)
        if CRON_LABEL in new.labels:
            self.by_cron.setdefault(f"{new.namespace}/{new.labels[CRON_LABEL]}", {})[new.uid] = new
        if old is not None and old.phase.completed and (old.phase is not new.phase or old.finished_at != new.finished_at):
            self.ended.get(old.phase, {}).pop(old.uid, None)
        if new.phase.completed:
            self.ended.setdefault(new.phase, {})[new.uid] = new.finished_at or new.created_at

    def remove(self, rank: tuple[int, datetime, str], run: Run) -> None:
        """Forget a run."""
        if run.postponed:
            self.postponed.remove(Postponed(rank, run.namespace))
        of = f"{run.namespace}/{run.labels.get(CRON_LABEL, '')}"
        self.by_cron.get(of, {}).pop(run.uid, None)
        if not self.by_cron.get(of, True):
            del self.by_cron[of]
        self.ended.get(run.phase, {}).pop(run.uid, None)
        same = self.by_name.get((run.namespace, run.name), {})
        same.pop(run.uid, None)
        if not same:
            self.by_name.pop((run.namespace, run.name), None)
