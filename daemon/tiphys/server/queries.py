"""What a list or a watch asks for: label selector, field selector, limit, place to go on. Pure."""

import heapq
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from tiphys.scheduler.records import Node, Run
from tiphys.server.problems import Problem
from tiphys.spec import selectors
from tiphys.spec.selectors import Selector

LABELS = "workflows.argoproj.io/"
T = TypeVar("T")
AGE = operator.attrgetter("created_at", "uid")
EVERYWHERE = frozenset({"", "-"})
NAME_FILTERS: dict[str, Callable[[str, str], bool]] = {
    "": str.__eq__,
    "Exact": str.__eq__,
    "Contains": str.__contains__,
    "Prefix": str.startswith,
}


class Counted(Iterator[T]):
    """Passes on what comes. `count`: how many have come so far."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self.count = 0

    def __next__(self) -> T:
        found = next(self._items)
        self.count += 1
        return found


@dataclass(frozen=True, kw_only=True)
class Field:
    """One part of a field selector."""

    name: str
    value: str
    equal: bool = True


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which runs, and how many of them. `name_filter` says how metadata.name compares."""

    namespace: str = ""
    labels: Selector = field(default_factory=Selector)
    fields: tuple[Field, ...] = ()
    limit: int = 0
    offset: int = 0
    name_filter: str = ""
    created_after: datetime | None = None
    finished_before: datetime | None = None

    @property
    def name(self) -> str:
        """The one name it is about; "": any."""
        exact = [one.value for one in self.fields if one.name == "metadata.name" and one.equal]
        return exact[0] if exact and self.name_filter in {"", "Exact"} else ""

    def matches(self, run: Run) -> bool:
        """Whether a run is meant."""
        if not covers(self.namespace, run.namespace):
            return False
        if not all(self._holds(one, run) for one in self.fields):
            return False
        if self.created_after is not None and run.created_at <= self.created_after:
            return False
        if self.finished_before is not None and (run.finished_at is None or run.finished_at >= self.finished_before):
            return False
        return not self.labels.requirements or self.labels.matches(labels(run))

    def chosen(self, runs: Iterable[Run]) -> tuple[list[Run], int]:
        """The runs of this page, the newest first, and how many there are after it. What comes after the page is not held."""
        meant = Counted(run for run in runs if self.matches(run))
        if not self.limit:
            return sorted(meant, key=AGE, reverse=True)[self.offset :], 0
        found = heapq.nlargest(self.offset + self.limit, meant, key=AGE)
        return found[self.offset :], meant.count - len(found)

    def _holds(self, wanted: Field, run: Run) -> bool:
        match wanted.name:
            case "metadata.name":
                return NAME_FILTERS[self.name_filter](run.name, wanted.value) == wanted.equal
            case "metadata.namespace":
                return (run.namespace == wanted.value) == wanted.equal
            case "metadata.uid":
                return (run.uid == wanted.value) == wanted.equal
            case _:
                return (str(run.phase) == wanted.value) == wanted.equal


def covers(asked: str, namespace: str) -> bool:
    """Whether a namespace is one that was asked for."""
    return asked in EVERYWHERE or namespace == asked


def labels(run: Run) -> Mapping[str, str]:
    """A run's labels as its object shows them."""
    found = {**run.labels, f"{LABELS}phase": str(run.phase)}
    if run.phase.completed:
        found[f"{LABELS}completed"] = "true"
    return found


def read(namespace: str, query: Mapping[str, str]) -> Query:
    """The query of a list. Raises Problem."""
    fields = field_selector(query.get("listOptions.fieldSelector", ""))
    known = {"metadata.name", "metadata.namespace", "metadata.uid", "status.phase"}
    for one in fields:
        if one.name not in known:
            raise Problem(400, f"field label not supported: {one.name}; there are {', '.join(sorted(known))}")
    name_filter = query.get("nameFilter", "")
    if name_filter not in NAME_FILTERS:
        raise Problem(400, f"nameFilter is {name_filter!r}; there are Exact, Contains, Prefix")
    return Query(
        namespace=namespace,
        labels=label_selector(query),
        fields=fields,
        limit=count(query, "listOptions.limit"),
        offset=count(query, "listOptions.continue"),
        name_filter=name_filter,
        created_after=_time(query, "createdAfter"),
        finished_before=_time(query, "finishedBefore"),
    )


def label_selector(query: Mapping[str, str]) -> Selector:
    """The label selector of a list. Raises Problem."""
    return selector(query.get("listOptions.labelSelector", ""))


def selector(text: str) -> Selector:
    """A label selector. Raises Problem."""
    try:
        return selectors.parse_selector(text)
    except selectors.SelectorError as error:
        raise Problem(400, f"label selector {text!r}: {error}") from error


def field_selector(text: str) -> tuple[Field, ...]:
    """`a=b,c!=d`. Raises Problem."""
    made = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, sign, value = part.partition("!=")
        if not sign:
            name, sign, value = part.partition("=")
        if not sign or not name.strip():
            raise Problem(400, f"invalid field selector: {part!r}; it is written NAME=VALUE or NAME!=VALUE")
        made.append(Field(name=name.strip(), value=value.removeprefix("=").strip(), equal="!=" not in part))
    return tuple(made)


def matching(text: str, nodes: Sequence[Node]) -> tuple[str, ...]:
    """The ids of the nodes that a nodeFieldSelector means (semantics 2.13). Raises Problem."""
    fields = field_selector(text)
    return tuple(node.id for node in nodes if all((_of(node, one.name) == one.value) == one.equal for one in fields))


def _of(node: Node, name: str) -> str | None:
    match name.split("."):
        case ["displayName"]:
            return node.display_name
        case ["name"]:
            return node.name
        case ["id"]:
            return node.id
        case ["phase"]:
            return str(node.phase)
        case ["templateName"]:
            return "" if node.reference is not None else node.template
        case ["templateRef", "name"]:
            return node.reference.name if node.reference is not None else ""
        case ["templateRef", "template"]:
            return node.reference.template if node.reference is not None else ""
        case ["inputs", "parameters", *middle, "value"] if middle:
            wanted = ".".join(middle)
            return next((one.value or "" for one in (node.inputs.parameters if node.inputs else ()) if one.name == wanted), "")
    raise Problem(
        400,
        f"unknown field {name!r} in nodeFieldSelector; there are displayName, name, id, phase, templateName, templateRef.name, "
        "templateRef.template, inputs.parameters.NAME.value",
    )


def page(found: Iterable[T], query: Mapping[str, str]) -> tuple[list[T], dict[str, object]]:
    """What of a list `listOptions.limit` and `.continue` ask for, and the list's metadata. Raises Problem."""
    limit, offset = count(query, "listOptions.limit"), count(query, "listOptions.continue")
    rest = iter(found)
    kept = list(itertools.islice(rest, offset, offset + limit if limit else None))
    left = sum(1 for _ in rest)
    return kept, {"continue": str(offset + limit), "remainingItemCount": left} if left else {}


def version(query: Mapping[str, str]) -> datetime | None:
    """The moment that `listOptions.resourceVersion` stands for; None: the beginning. Raises Problem."""
    number = count(query, "listOptions.resourceVersion")
    try:
        return datetime.fromtimestamp(number / 1_000_000, UTC) if number else None
    except (OverflowError, ValueError, OSError) as error:
        raise Problem(400, f"listOptions.resourceVersion is {number}, which no list has") from error


def count(query: Mapping[str, str], name: str) -> int:
    """A whole number of a query; 0 where it is not there. Raises Problem."""
    text = query.get(name, "") or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 17):
        raise Problem(400, f"{name} is {text!r}; it must be a whole number, zero or more")
    return int(text)


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name, "")
    return time(text, name) if text else None


def time(text: str, name: str) -> datetime:
    """A time of a query. Raises Problem."""
    try:
        made = datetime.fromisoformat(text)
    except ValueError as error:
        raise Problem(400, f"{name} is {text!r}; it must be a time as 2006-01-02T15:04:05Z") from error
    if made.tzinfo is None:
        raise Problem(400, f"{name} is {text!r}; it must say its time zone, as 2006-01-02T15:04:05Z")
    return made
