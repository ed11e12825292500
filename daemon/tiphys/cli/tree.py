"""The tree of nodes, as Argo's `get` draws it (semantics part 3): a workflow's status in, rows and lines out. Pure.

Steps and DAG nodes hold what their `boundaryID` says; a StepGroup's own row is left out and its connector fused with its members';
a Retry with one attempt gives way to the attempt; Omitted, TaskGroup and Container nodes are not drawn.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from tiphys.cli import times
from tiphys.spec import names
from tiphys.spec.status import NodeStatus, NodeType, Phase

ICONS = {
    Phase.UNKNOWN: "◷",
    Phase.PENDING: "◷",
    Phase.RUNNING: "●",
    Phase.SUCCEEDED: "✔",
    Phase.SKIPPED: "○",
    Phase.FAILED: "✖",
    Phase.ERROR: "⚠",
    Phase.OMITTED: "○",
}
SUSPENDED = "ǁ"
COLOURS = {
    Phase.UNKNOWN: "yellow",
    Phase.PENDING: "yellow",
    Phase.RUNNING: "cyan",
    Phase.SUCCEEDED: "green",
    Phase.SKIPPED: "default",
    Phase.FAILED: "red",
    Phase.ERROR: "red",
    Phase.OMITTED: "default",
}
ASCII = str.maketrans({"├": "+", "└": "`", "┬": "+", "─": "-", "│": "|"})
ALONE, FIRST, MIDDLE, LAST = ("──", "  "), ("┬─", "│ "), ("├─", "│ "), ("└─", "  ")
"""The connectors of members of a StepGroup (the first three and LAST), and of children (MIDDLE and LAST): for the row, for what
hangs below it."""

BOUNDARIES = frozenset({NodeType.STEPS, NodeType.DAG})
NOT_DRAWN = frozenset({NodeType.TASK_GROUP, NodeType.CONTAINER})
LOOP_INDEX = re.compile(r"\((\d+)(?::.*)?\)$", re.DOTALL)
ATTEMPT = re.compile(r"\((\d+)\)$")
GROUP = re.compile(r"(\[\d+\])\.")
COLUMNS = {
    "": ("STEP", "TEMPLATE", "PODNAME", "DURATION", "MESSAGE"),
    "live": ("STEP", "TEMPLATE", "DURATION", "MESSAGE"),
    "short": ("STEP", "TEMPLATE", "PODNAME", "DURATION", "MESSAGE", "NODENAME"),
    "wide": ("STEP", "TEMPLATE", "PODNAME", "DURATION", "ARTIFACTS", "MESSAGE", "RESOURCESDURATION", "NODENAME"),
}
"""The columns of each output form; "" is the plain one, "live" our own for a terminal that is watched."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the tree: the lines that lead to it, and its node (None: the empty line before the exit handler's tree)."""

    prefix: str
    node: NodeStatus | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of text; its `sign` (the first place of that text in it) has a colour."""

    text: str
    sign: str = ""
    colour: str = ""


@dataclass
class _Branch:
    """A node that is drawn, or whose members are, and what hangs below it."""

    node: NodeStatus
    below: list["_Branch"] = field(default_factory=list)


def active_suspend(node: NodeStatus) -> bool:
    """Whether the node waits for somebody to resume it."""
    return node.type is NodeType.SUSPEND and node.phase is Phase.RUNNING


def template_name(node: NodeStatus) -> str:
    """`name`, or `resource/name` for a template of another resource."""
    return f"{node.template_ref.name}/{node.template_ref.template}" if node.template_ref else node.template_name


def resources(durations: Mapping[str, int] | None) -> str:
    """`4s*(1 cpu),1m3s*(100Mi memory)`: what was used, times the unit it is counted in."""
    units = {"cpu": "1", "memory": "100Mi"}
    return ",".join(f"{times.go(value)}*({units.get(name, '1')} {name})" for name, value in sorted((durations or {}).items()))


def rows(workflow_name: str, nodes: Mapping[str, NodeStatus]) -> list[Row]:
    """The rows of a workflow's tree, then an empty one and the exit handler's tree where there is one.

    `nodes` are the status's nodes by id. Empty where the root node does not exist yet.
    """
    branches = _grow(nodes)
    drawn: list[Row] = []
    if (root := branches.get(workflow_name)) is None:
        return drawn
    _draw(drawn, root, " ", " ")
    if (farewell := branches.get(names.node_id(workflow_name, f"{workflow_name}.onExit"))) is not None:
        drawn.append(Row(prefix="", node=None))
        _draw(drawn, farewell, " ", " ")
    return drawn


def lines(workflow_name: str, drawn: Sequence[Row], now: datetime, *, form: str = "", utf8: bool = True, head: bool = True) -> list[Line]:
    """Rows in columns, under the columns' names where `head` is set. `form` is a key of `COLUMNS`."""
    table = [list(COLUMNS[form])] if head else []
    table += [cells(workflow_name, row, now, form=form, utf8=utf8) for row in drawn]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    nodes = [None] * head + [row.node for row in drawn]
    return [
        Line(text=text) if node is None else Line(text=text, sign=icon(node, utf8=utf8), colour=COLOURS[node.phase])
        for text, node in zip(texts, nodes, strict=True)
    ]


def fitted(drawn: Sequence[Row], name: str, now: datetime, room: int, *, form: str = "", utf8: bool = True) -> list[Line]:
    """The rows as lines, at most `room` of them: where there are more, what runs and what failed stays, and the rest is counted."""
    if len(drawn) < room:
        return lines(name, drawn, now, form=form, utf8=utf8)
    kept = set(sorted(range(len(drawn)), key=lambda index: (_rank(drawn[index]), index))[: max(1, room - 3)])
    shown = lines(name, [drawn[index] for index in sorted(kept)], now, form=form, utf8=utf8)[: max(1, room - 1)]
    counts: dict[str, int] = {}
    for index, row in enumerate(drawn):
        if index not in kept and row.node is not None:
            word = str(row.node.phase) or "Pending"
            counts[word] = counts.get(word, 0) + 1
    rest = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    return [*shown, Line(text=f" and {rest}")] if rest else shown


def _rank(row: Row) -> int:
    """How much a row matters where not all can be seen."""
    if row.node is None:
        return 9
    if row.prefix == " ":
        return 0
    return {Phase.FAILED: 1, Phase.ERROR: 1, Phase.RUNNING: 2, Phase.PENDING: 3}.get(row.node.phase, 4)


def icon(node: NodeStatus, *, utf8: bool = True) -> str:
    """The sign of a node's phase; a word without `utf8`."""
    if active_suspend(node):
        return SUSPENDED if utf8 else "Suspend"
    return ICONS[node.phase] if utf8 else str(node.phase) or "Pending"


def cells(workflow_name: str, row: Row, now: datetime, *, form: str, utf8: bool) -> list[str]:
    """One row's columns."""
    node = row.node
    if node is None:
        return [""] * len(COLUMNS[form])
    pod = node.type is NodeType.POD
    own_template = node.template_ref.template if node.template_ref else node.template_name
    columns = {
        "STEP": (row.prefix if utf8 else row.prefix.translate(ASCII)) + f"{icon(node, utf8=utf8)} {node.display_name or node.name}",
        "TEMPLATE": template_name(node),
        "PODNAME": names.pod_name(workflow_name, node.name, own_template) if pod and "PODNAME" in COLUMNS[form] else "",
        "DURATION": times.short(times.seconds(node.started_at, node.finished_at, now)) if pod else "",
        "ARTIFACTS": ",".join(artifact.name for artifact in (node.outputs.artifacts if node.outputs else ())),
        "MESSAGE": " ".join(node.message.split()),
        "RESOURCESDURATION": resources(node.resources_duration),
        "NODENAME": node.name,
    }
    return [columns[column] for column in COLUMNS[form]]


def _grow(nodes: Mapping[str, NodeStatus]) -> dict[str, _Branch]:
    """A branch for each drawn node by id, each hung on its parent.

    Parents are found by name and boundary alone: a node that has just changed may come without the graph's edges.
    """
    branches = {key: _Branch(node) for key, node in nodes.items() if node.type not in NOT_DRAWN and node.phase is not Phase.OMITTED}
    by_name = {branch.node.name: branch for branch in branches.values()}
    for branch in branches.values():
        parent = _parent(branch.node, branches, by_name)
        if parent is not None and parent is not branch:
            parent.below.append(branch)
    for branch in branches.values():
        branch.below.sort(key=_order)
    return branches


def _parent(node: NodeStatus, branches: Mapping[str, _Branch], by_name: Mapping[str, _Branch]) -> _Branch | None:
    """What `node` is drawn under: the Retry of an attempt, the StepGroup of a step, else its boundary."""
    hooked = node.node_flag is not None and node.node_flag.hooked
    if (
        (attempt := ATTEMPT.search(node.name))
        and (retry := by_name.get(node.name[: attempt.start()]))
        and retry.node.type is NodeType.RETRY
    ):
        return retry
    boundary = branches.get(node.boundary_id)
    if boundary is not None and boundary.node.type is NodeType.STEPS and node.type is not NodeType.STEP_GROUP and not hooked:
        group = GROUP.match(node.name, len(boundary.node.name))
        return by_name.get(node.name[: group.end(1)], boundary) if group else boundary
    return boundary


def _order(branch: _Branch) -> tuple[bool, str, str, int, str]:
    """By start; then by name without its loop index, by that index, and by the whole name."""
    node = branch.node
    found = LOOP_INDEX.search(node.name)
    stem, index = (node.name[: found.start()], int(found[1])) if found else (node.name, -1)
    if node.type is NodeType.STEP_GROUP and (group := re.search(r"\[(\d+)\]$", node.name)):
        stem, index = node.name[: group.start()], int(group[1])
    return not node.started_at, node.started_at or "", stem, index, node.name


def _draw(drawn: list[Row], branch: _Branch, prefix: str, child_prefix: str) -> None:
    """Appends `branch` and what is below it; a worklist, for trees deeper than Python's stack."""
    work = [(branch, prefix, child_prefix)]
    while work:
        branch, prefix, child_prefix = work.pop()
        node, below = branch.node, branch.below
        group = node.type is NodeType.STEP_GROUP
        hidden = group or (node.type is NodeType.RETRY and len(below) == 1)
        if not hidden:
            drawn.append(Row(prefix=prefix, node=node))
        # The first child of a hidden row stands where that row would have stood.
        work += reversed(
            [
                (child, (prefix if hidden and index == 0 else child_prefix) + connector, child_prefix + continued)
                for index, (child, (connector, continued)) in enumerate(zip(below, _connectors(len(below), group, hidden), strict=True))
            ]
        )


def _connectors(count: int, group: bool, hidden: bool) -> Iterable[tuple[str, str]]:
    """The connector and continuation of each of `count` children."""
    if hidden and not group:  # the one attempt of a Retry
        return [("", "")]
    if group and count == 1:
        return [ALONE]
    ordinary = [MIDDLE] * (count - 1) + [LAST] * min(count, 1)
    return [FIRST, *ordinary[1:]] if group and count else ordinary
