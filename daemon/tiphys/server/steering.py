"""What an operator wants of a workflow: suspend, resume, stop, terminate, retry, set. The engine decides, and records who asked."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from tiphys.manifests.parameters import text_of
from tiphys.scheduler import events
from tiphys.scheduler.state import RunState
from tiphys.server import bodies, context, queries, workflows
from tiphys.server.problems import Problem
from tiphys.spec.status import NodeType, Phase

SETTABLE = {"": Phase.UNKNOWN, "Succeeded": Phase.SUCCEEDED, "Failed": Phase.FAILED, "Error": Phase.ERROR}
NO_SELECTOR = "'set' currently only targets suspend nodes, use a node field selector to target them"


async def suspend(request: web.Request) -> web.StreamResponse:
    """PUT …/suspend."""
    await bodies.value(request)
    return await _asked(request, workflows.find(request), events.Suspend())


async def resume(request: web.Request) -> web.StreamResponse:
    """PUT …/resume: all of it, or the suspend nodes that nodeFieldSelector means."""
    body = await bodies.value(request)
    uid = workflows.find(request)
    selector = bodies.text(body, "nodeFieldSelector")
    nodes = _nodes(request, uid, selector) or (selector,) if selector else ()
    return await _asked(request, uid, events.Resume(nodes=nodes))


async def stop(request: web.Request) -> web.StreamResponse:
    """PUT …/stop: all of it, or only the suspend nodes that nodeFieldSelector means, which fail."""
    body = await bodies.value(request)
    uid = workflows.find(request)
    message = bodies.text(body, "message")
    if selector := bodies.text(body, "nodeFieldSelector"):
        nodes = _nodes(request, uid, selector)
        if not nodes:
            raise Problem(409, f"currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: {selector}")
        return await _asked(request, uid, events.SetNode(nodes=nodes, phase=Phase.FAILED, message=message))
    return await _asked(request, uid, events.Stop(message=message))


async def terminate(request: web.Request) -> web.StreamResponse:
    """PUT …/terminate."""
    await bodies.value(request)
    return await _asked(request, workflows.find(request), events.Terminate())


async def retry(request: web.Request) -> web.StreamResponse:
    """PUT …/retry, in place."""
    return await retry_of(request, workflows.find(request))


async def retry_of(request: web.Request, uid: str) -> web.StreamResponse:
    """Go on from what failed; with restartSuccessful also from the nodes that nodeFieldSelector means (semantics 2.14)."""
    body = await bodies.value(request)
    return await _asked(request, uid, retry_wish(body, lambda: context.of(request).house.still(uid)))


def retry_wish(body: Mapping[str, Any], still: Callable[[], RunState]) -> events.Retry:
    """What a body wants retried of a run that is as `still` says. Raises Problem."""
    selector, restart = bodies.text(body, "nodeFieldSelector"), bodies.flag(body, "restartSuccessful")
    if restart and not selector:
        raise Problem(400, "restartSuccessful needs a nodeFieldSelector that says which nodes are run again")
    if selector and not restart:
        raise Problem(400, "nodeFieldSelector of a retry is for restartSuccessful")
    nodes = queries.matching(selector, list(still().nodes.values())) if selector else ()
    if selector and not nodes:
        raise Problem(409, f"no nodes match nodeFieldSelector: {selector}")
    return events.Retry(parameters=bodies.pairs(bodies.texts(body, "parameters")), restart=nodes)


async def set_(request: web.Request) -> web.StreamResponse:
    """PUT …/set: outputs, message, phase of the suspend nodes that nodeFieldSelector means."""
    body = await bodies.value(request)
    uid = workflows.find(request)
    phase = bodies.text(body, "phase")
    if phase not in SETTABLE:
        raise Problem(400, f"phase is {phase!r}; there are {', '.join(filter(None, SETTABLE))}")
    selector = bodies.text(body, "nodeFieldSelector")
    if not selector:
        raise Problem(400, NO_SELECTOR)
    wish = events.SetNode(
        nodes=_nodes(request, uid, selector),
        phase=SETTABLE[phase],
        message=bodies.text(body, "message"),
        parameters=_outputs(bodies.text(body, "outputParameters")),
    )
    return await _asked(request, uid, wish)


def _outputs(text: str) -> dict[str, str]:
    """The JSON map of output parameters; a value that is no text becomes its JSON text."""
    if not text:
        return {}
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Problem(400, f"unable to parse output parameter set request: {error}") from error
    if not isinstance(found, dict):
        raise Problem(400, "outputParameters must be the JSON text of a map")
    return {name: text_of(value) for name, value in found.items()}


def _nodes(request: web.Request, uid: str, selector: str) -> tuple[str, ...]:
    waiting = [
        node for node in context.of(request).house.still(uid).nodes.values() if node.type is NodeType.SUSPEND and not node.phase.fulfilled
    ]
    return queries.matching(selector, waiting)


async def _asked(request: web.Request, uid: str, wish: events.Wish) -> web.StreamResponse:
    here = context.of(request)
    await here.house.ask(uid, wish, await here.peers.who(request))
    return await workflows.shown(request, uid)
