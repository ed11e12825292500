"""What happens, as Kubernetes' events: WorkflowRunning, WorkflowSucceeded, WorkflowNodeFailed and their like (semantics 2.22)."""

import anyio
import msgspec
from aiohttp import web

from tiphys.engine.inbox import now
from tiphys.engine.watching import Change
from tiphys.scheduler.globals import rfc3339
from tiphys.scheduler.records import Run
from tiphys.server import context, queries, streams
from tiphys.server.hub import Hub
from tiphys.server.problems import Problem
from tiphys.server.queries import Field
from tiphys.server.streams import Stream
from tiphys.spec.status import Phase
from tiphys.spec.workflows import ARGO_API_VERSION

KNOWN = ("involvedObject.kind", "involvedObject.name", "involvedObject.namespace", "involvedObject.uid")
WAITING = 1000
"""Events that wait for who reads slowly; after that the stream ends."""

WORKFLOW = {
    Phase.RUNNING: ("Normal", "WorkflowRunning", "Workflow Running"),
    Phase.SUCCEEDED: ("Normal", "WorkflowSucceeded", "Workflow completed"),
    Phase.FAILED: ("Warning", "WorkflowFailed", ""),
    Phase.ERROR: ("Warning", "WorkflowFailed", ""),
}
NODE = {
    Phase.RUNNING: ("Normal", "WorkflowNodeRunning"),
    Phase.SUCCEEDED: ("Normal", "WorkflowNodeSucceeded"),
    Phase.FAILED: ("Warning", "WorkflowNodeFailed"),
    Phase.ERROR: ("Warning", "WorkflowNodeError"),
}


async def streamed(request: web.Request) -> web.StreamResponse:
    """The events of workflows from now on, chosen by listOptions.fieldSelector (involvedObject.kind, name, namespace, uid)."""
    here = context.of(request)
    namespace = request.match_info.get("namespace", "")
    fields = queries.field_selector(request.query.get("listOptions.fieldSelector", ""))
    for one in fields:
        if one.name not in KNOWN:
            raise Problem(400, f"field label not supported: {one.name}; there are {', '.join(KNOWN)}")
    listener = Listener(here.hub, namespace, fields)

    async def speak(stream: Stream) -> None:
        async with here.hub.watched():
            await listener.run(stream)

    return await streams.answered(request, speak)


class Listener:
    """One who listens: which phases were told, and what waits to be sent."""

    def __init__(self, hub: Hub, namespace: str, fields: tuple[Field, ...]) -> None:
        self._hub = hub
        self._namespace = namespace
        self._fields = fields
        self._told: dict[tuple[str, str], str] = {}
        self._number = 0
        self._send, self._receive = anyio.create_memory_object_stream[bytes](WAITING)
        self._full = False

    async def run(self, stream: Stream) -> None:
        """Tell, until nobody listens."""
        for uid in self._hub.since(0):
            row, _ = self._hub.row(uid)
            if row is not None:
                self._told[uid, ""] = row.phase
        with self._hub.listening(self._hear), self._send, self._receive:
            while True:
                event: bytes | None = None
                with anyio.move_on_after(streams.LOOK_SECONDS):
                    event = await self._receive.receive()
                if event is not None:
                    await stream.send([event])
                if self._full:
                    raise Problem(503, "events came faster than they were read, and some are lost; ask again")
                await stream.look()

    def _hear(self, row: Run, change: Change | None) -> None:
        if not self._meant(row):
            return
        if change is None or change.node is None:
            phase = row.phase if change is None else change.phase
            if self._new(row.uid, "", phase) and phase in WORKFLOW:
                kind, reason, message = WORKFLOW[phase]
                if row.deadline_passed and phase.failed_or_error:
                    reason = "WorkflowTimedOut"
                self._post(row, kind, reason, message or (row.message if change is None else change.message))
            if phase.completed:
                self._told = {key: told for key, told in self._told.items() if key[0] != row.uid or not key[1]}
            return
        node = change.node
        if self._new(row.uid, node.id, node.phase) and node.phase in NODE:
            kind, reason = NODE[node.phase]
            self._post(row, kind, reason, f"{node.phase} node {node.name}{f': {node.message}' if node.message else ''}", node.name)

    def _new(self, uid: str, node_id: str, phase: Phase) -> bool:
        if self._told.get((uid, node_id)) == phase:
            return False
        self._told[uid, node_id] = phase
        return True

    def _meant(self, row: Run) -> bool:
        if not queries.covers(self._namespace, row.namespace):
            return False
        values = {"kind": "Workflow", "name": row.name, "namespace": row.namespace, "uid": row.uid}
        return all((values[one.name.partition(".")[2]] == one.value) == one.equal for one in self._fields)

    def _post(self, row: Run, kind: str, reason: str, message: str, node: str = "") -> None:
        self._number += 1
        at = rfc3339(now())
        annotations = {"workflows.argoproj.io/node-name": node} if node else {}
        event = {
            "metadata": {
                "name": f"{row.name}.{int(now().timestamp() * 1_000_000):x}{self._number:x}",
                "namespace": row.namespace,
                "annotations": annotations,
            },
            "involvedObject": {
                "kind": "Workflow",
                "namespace": row.namespace,
                "name": row.name,
                "uid": row.uid,
                "apiVersion": ARGO_API_VERSION,
            },
            "reason": reason,
            "message": message,
            "source": {"component": "workflow-controller"},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
            "type": kind,
        }
        try:
            self._send.send_nowait(msgspec.json.encode(event))
        except anyio.WouldBlock:
            self._full = True
