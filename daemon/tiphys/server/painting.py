"""Nodes' JSON written straight from their rows: what many nodes say alike is encoded once, and only what differs is filled in.

It is what encoding `render.node_status` gives, byte for byte, at a fifth of the cost. That function is the reference, and draws every row
that says something uncommon.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from tiphys.scheduler import render
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.graph import Graph
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeStatus, NodeType, Phase
from tiphys.spec.templates import Outputs, TemplateRef

AT_ONCE = 1000
"""Nodes that are looked at together for whether their names can stand in JSON as they are."""

encode = msgspec.json.Encoder().encode

Below = Mapping[str, tuple[int, int]]
"""What is done of how much below a node, by its id."""

Kind = tuple[NodeType, str, TemplateRef | None, str, Phase]
Drawn = tuple[str, int, int]
"""What nodes of a kind say of it, and what each adds to its own progress: done, of how much."""

SECOND = timedelta(seconds=1)
NOTHING = (0, 0)
RETRIED, HOOKED = ',"nodeFlag":{"retried":true}', ',"nodeFlag":{"hooked":true}'
BOTH = ',"nodeFlag":{"hooked":true,"retried":true}'


class Painter:
    """Draws the nodes of one run. Used by one thread at a time."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, Drawn] = {}
        self._ends: dict[str | None, str] = {}

    def texts(
        self, nodes: Sequence[Node], graph: Graph, run_name: str, below: Below, give_way: Callable[[], None] = lambda: None
    ) -> list[bytes]:
        """Each node as a member of a JSON object: its id and its status. `give_way` is called now and then."""
        made: list[bytes] = []
        for start in range(0, len(nodes), AT_ONCE):
            give_way()
            self._draw(made, nodes[start : start + AT_ONCE], graph, run_name, below)
        return made

    def _draw(self, made: list[bytes], nodes: Sequence[Node], graph: Graph, run_name: str, below: Below) -> None:
        """Draw so many. What is the same object as in the node before is not encoded again.

        All in one function: to call one costs as much as three fields.
        """
        first = f"{run_name}("  # an attempt of the root: of all others only a hook's have no task
        plain = all(_plain(texts) for texts in ([n.id for n in nodes], [n.name for n in nodes], [n.display_name for n in nodes]))
        kind_of, end_of, children_of, sums_of = self._kinds.get, self._ends.get, graph.children.get, below.get
        on_exit = f"{run_name}.onExit"
        attempt, hook, at_exit, steps, dag = Role.ATTEMPT, Role.HOOK, Role.EXIT, NodeType.STEPS, NodeType.DAG
        type_ = phase = reference = template = scope = boundary = outputs = host = started_at = finished_at = None
        insides: dict[str, str] = {}
        begun, over = Second(), Second()
        kind = within = put_out = where = started = finished = ""
        own_done = own_of = 0
        for node in nodes:
            node_id, name, shown = node.id, node.name, node.display_name
            if (
                node.daemoned
                or node.estimated_seconds
                or node.ip
                or node.memo is not None
                or node.original
                or node.progress
                or node.waiting_for
                or not (name and shown)
            ):
                made.append(reference_text(node, graph, run_name, below))
                continue
            if not plain:
                node_id, name, shown = _quoted(node_id), _quoted(name), _quoted(shown)
            if (
                node.phase is not phase
                or node.template is not template
                or node.type is not type_
                or node.scope is not scope
                or node.reference is not reference
            ):
                type_, template, reference, scope, phase = node.type, node.template, node.reference, node.scope, node.phase
                key = (type_, template, reference, scope, phase)
                kind, own_done, own_of = kind_of(key) or self._kind(key)
            if node.boundary is not boundary:
                boundary = node.boundary
                if boundary not in insides:
                    insides[boundary] = f',"boundaryID":"{_quoted(boundary)}"' if boundary else ""
                within = insides[boundary]
            if node.started_at is not started_at:
                started_at = node.started_at
                started = f',"startedAt":"{begun.text(started_at)}"' if started_at is not None else ""
            if node.finished_at is not finished_at:
                finished_at = node.finished_at
                finished = f',"finishedAt":"{over.text(finished_at)}"' if finished_at is not None else ""
            if node.outputs is not outputs:
                outputs = node.outputs
                if outputs is None:
                    put_out = ""
                elif outputs.parameters or outputs.artifacts or outputs.result is not None:
                    put_out = f',"outputs":{encode(outputs).decode()}'
                else:
                    put_out = end_of(outputs.exit_code) or self._end(outputs)
            if node.handle is not None and node.handle.host is not host:
                host = node.handle.host
                where = f',"hostNodeName":"{_quoted(host)}"' if host else ""
            message = f',"message":"{_quoted(node.message)}"' if node.message else ""
            taken = f',"inputs":{encode(node.inputs).decode()}' if node.inputs is not None else ""
            done, of = sums_of(node.id, NOTHING)
            counted = f',"progress":"{done + own_done}/{of + own_of}"' if of + own_of else ""
            role = node.role
            if role is attempt:
                flag = RETRIED if node.task or node.name.startswith(first) else BOTH
            else:
                flag = HOOKED if role is hook or (role is at_exit and node.name == on_exit) else ""
            children = children_of(node.id)
            hanging = f',"children":{encode(children).decode()}' if children is not None else ""
            if (type_ is steps or type_ is dag) and phase.fulfilled and (last := graph.outbound(node.id)):
                hanging += f',"outboundNodes":{encode(last).decode()}'
            made.append(
                f'"{node_id}":{{"id":"{node_id}","name":"{name}","displayName":"{shown}"{kind}{within}{message}{started}{finished}{counted}'
                f"{flag}{taken}{put_out}{hanging}{where if node.handle is not None else ''}}}".encode()
            )

    def _kind(self, kind: Kind) -> Drawn:
        type_, template, reference, scope, phase = kind
        name = "" if reference is not None else template
        made = encode(NodeStatus(type=type_, template_name=name, template_ref=reference, template_scope=scope, phase=phase))
        counts = type_ in render.EXECUTED
        found = self._kinds[kind] = f",{made[1:-1].decode()}", int(counts and phase is Phase.SUCCEEDED), int(counts)
        return found

    def _end(self, outputs: Outputs) -> str:
        """Outputs that are an exit code alone, or not even that."""
        made = self._ends[outputs.exit_code] = f',"outputs":{encode(outputs).decode()}'
        return made


class Second:
    """Times as texts: those that come one after another often lie in the same second."""

    __slots__ = ("_begins", "_ends", "_text")

    def __init__(self) -> None:
        self._begins = self._ends = datetime.max.replace(tzinfo=UTC)
        self._text = ""

    def text(self, at: datetime) -> str:
        """RFC 3339, whole seconds."""
        if not self._begins <= at < self._ends:
            self._text = rfc3339(at)
            self._begins = at.replace(microsecond=0)
            self._ends = self._begins + SECOND
        return self._text


def reference_text(node: Node, graph: Graph, run_name: str, below: Below) -> bytes:
    """What `Painter.texts` gives for a node, made as all JSON is."""
    (done, of), own = below.get(node.id, NOTHING), render.own_progress(node)
    counted = f"{done + own[0]}/{of + own[1]}" if of + own[1] else ""
    return b"%b:%b" % (encode(node.id), encode(render.node_status(node, graph, run_name, counted)))


def _plain(texts: Sequence[str]) -> bool:
    """Whether all of these stand in JSON as they are."""
    joined = "".join(texts)
    return len(encode(joined)) == len(joined) + 2


def _quoted(text: str) -> str:
    """A text as it stands between quotation marks."""
    return encode(text)[1:-1].decode()
