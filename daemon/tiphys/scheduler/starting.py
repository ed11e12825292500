"""A call becomes a node: Argo's executeTemplate (semantics 2.3), once for each node instead of once for each pass."""

from msgspec import structs

from tiphys.errors import TiphysError
from tiphys.expressions.scope import ChainScope, FlatScope
from tiphys.scheduler import binding, bodies, hooks, nodes, room, sources, todo
from tiphys.scheduler.calls import Call
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import NodeType, Phase
from tiphys.spec.templates import POD_KINDS, Inputs

MAX_DEPTH = 100
TYPES = {"steps": NodeType.STEPS, "dag": NodeType.DAG, "suspend": NodeType.SUSPEND, "http": NodeType.HTTP, "plugin": NodeType.PLUGIN}
TOO_DEEP = "Maximum recursion depth exceeded. See https://argo-workflows.readthedocs.io/en/latest/scaling/ for details"


def start(draft: Draft, call: Call) -> None:
    """Make the call's node, or let the call wait for room. A call whose node is there (after a restart) is done."""
    if draft.named(call.name) is not None:
        return
    if call.boundary and draft.node(call.boundary).phase.fulfilled:
        return
    if call.role in (Role.STEP, Role.ITEM) and draft.node(call.owner).phase.fulfilled:
        return  # a hook of the loop could not be made, which ended it
    if call.skipped is not None:
        nodes.end(draft, nodes.create(draft, call, NodeType.SKIPPED, Phase.PENDING), Phase.SKIPPED, call.skipped)
        return
    if call.depth > MAX_DEPTH:
        _fail(draft, call, TOO_DEEP)
        return
    found = sources.find(draft, call.template, call.reference, call.inline, call.scope)
    if isinstance(found, str):
        _fail(draft, call, found)
        return
    inputs = None
    if found.template.inputs is not None:
        outer = ChainScope(FlatScope(bodies.own_names(draft, call.name, call.task, found)), GlobalScope(draft))
        try:
            chance, passed = draft.chance(call.name), bool(call.boundary)
            inputs = binding.bind(found.template, call.arguments, call.absent, outer, draft.state.config_map, chance, passed=passed)
        except TiphysError as error:
            _fail(draft, call, str(error))
            return
    if room.refuses(draft, call):
        return
    if call.template != found.name:
        call = structs.replace(call, template=found.name)
    _make(draft, call, found, inputs)


def _fail(draft: Draft, call: Call, message: str) -> None:
    nodes.fail(draft, call, message)
    if call.role is Role.HOOK:
        hooks.uncreated(draft, call, message)


def attempt(draft: Draft, wrapper: Node) -> None:
    """Make the next attempt of a Retry node, or let it wait for room."""
    if wrapper.phase.fulfilled:
        return
    made = [node for node in draft.owned(wrapper.id) if node.role is Role.ATTEMPT]
    if made and not (made[-1].settled and made[-1].phase.failed_or_error):
        return
    index = len(made)
    call = Call(
        name=f"{wrapper.name}({index})",
        role=Role.ATTEMPT,
        owner=wrapper.id,
        boundary=wrapper.boundary,
        task=wrapper.task,
        template=wrapper.template,
        reference=wrapper.reference,
        inline=wrapper.inline,
        scope=wrapper.scope,
        parents=(wrapper.id,),
        depth=wrapper.depth,
        in_exit=wrapper.in_exit,
    )
    if not room.refuses(draft, call):
        _make(draft, call, bodies.source_of(draft, wrapper), wrapper.inputs)


def _make(draft: Draft, call: Call, source: sources.Source, inputs: Inputs | None) -> None:
    """Make the node by its template's kind, and let it enter."""
    type_ = NodeType.POD if source.kind in POD_KINDS else TYPES[source.kind]
    if call.role is not Role.ATTEMPT and bodies.strategy(draft, source.template) is not None:
        type_ = NodeType.RETRY
    draft.later(todo.Enter(nodes.create(draft, call, type_, Phase.PENDING, inputs=inputs).id))
