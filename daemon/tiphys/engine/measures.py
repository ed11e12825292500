"""Custom metrics as they are now: samples of workflows added up, shown in Prometheus' text format.

They live in memory and begin anew with the process, as Argo's do.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from tiphys.scheduler.decision import Sample

PREFIX = "argo_workflows_"
Labels = tuple[tuple[str, str], ...]


class Family:
    """All values of one metric."""

    def __init__(self, sample: Sample) -> None:
        self.kind = sample.kind
        self.help = sample.help
        self.names = tuple(sorted(sample.labels))
        self.buckets = tuple(sorted(sample.buckets))
        self.values: dict[Labels, float] = {}
        self.counted: dict[Labels, list[int]] = {}
        self.since: dict[Labels, datetime] = {}

    def fits(self, sample: Sample) -> bool:
        """Whether a sample is one of this metric: one name has one kind, help and set of labels."""
        return (self.kind, self.help, self.names) == (sample.kind, sample.help, tuple(sorted(sample.labels)))

    def add(self, sample: Sample) -> None:
        """Take a sample in."""
        labels = tuple(sorted(sample.labels.items()))
        before = self.values.get(labels, 0.0)
        self.since.pop(labels, None)
        if self.kind == "counter" or sample.operation == "Add":
            self.values[labels] = before + sample.value
        elif sample.operation == "Sub":
            self.values[labels] = before - sample.value
        elif self.kind == "histogram":
            self.values[labels] = before + sample.value
            counted = self.counted.setdefault(labels, [0] * (len(self.buckets) + 1))
            for index, bound in enumerate((*self.buckets, float("inf"))):
                counted[index] += sample.value <= bound
        else:
            self.values[labels] = sample.value
            if sample.since is not None:
                self.since[labels] = sample.since


class Measures:
    """Every custom metric by its name."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def add(self, sample: Sample) -> str:
        """Take a sample in; why it could not be, "" where it could."""
        family = self._families.setdefault(sample.name, Family(sample))
        if not family.fits(sample):
            return f"metric '{sample.name}' is there already with another kind, help or set of labels"
        family.add(sample)
        return ""

    def text(self, now: datetime | None = None) -> str:
        """Prometheus' text format."""
        at = now or datetime.now(UTC)
        return "".join(f"{line}\n" for name, family in sorted(self._families.items()) for line in _lines(PREFIX + name, family, at))


def _lines(name: str, family: Family, now: datetime) -> Iterator[str]:
    yield f"# HELP {name} {family.help.replace(chr(92), chr(92) * 2).replace(chr(10), chr(92) + 'n')}"
    yield f"# TYPE {name} {family.kind}"
    for labels, value in family.values.items():
        if family.kind != "histogram":
            since = family.since.get(labels)
            yield f"{name}{_shown(labels)} {_number((now - since).total_seconds() if since is not None else value)}"
            continue
        for bound, count in zip((*family.buckets, float("inf")), family.counted[labels], strict=True):
            yield f"{name}_bucket{_shown((*labels, ('le', _number(bound))))} {count}"
        yield f"{name}_sum{_shown(labels)} {_number(value)}"
        yield f"{name}_count{_shown(labels)} {family.counted[labels][-1]}"


def _shown(labels: Labels) -> str:
    parts = [
        f'{key}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34)).replace(chr(10), chr(92) + "n")}"'
        for key, value in labels
    ]
    return f"{{{','.join(parts)}}}" if parts else ""


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
