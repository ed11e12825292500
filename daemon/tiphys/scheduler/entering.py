"""A node is there and may go on: its locks, then its memo, then its work (semantics 2.3, steps 11 to 14)."""

import json
import re
from datetime import datetime

import msgspec

from tiphys.errors import TiphysError
from tiphys.expressions import durations, tags
from tiphys.expressions.scope import ChainScope, FlatScope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import binding, bodies, locks, nodes, places, room, sources, submitting, todo, working
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.globals import GlobalScope
from tiphys.scheduler.records import Node, Role
from tiphys.spec.status import MemoizationStatus, NodeType, Phase
from tiphys.spec.templates import Memoize, Outputs

CACHE_KEY = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
CACHE_LABEL = "workflows.argoproj.io/configmap-type"


def enter(draft: Draft, node_id: str) -> None:
    """Let a node ("": the run itself) take its locks and go on, if they are free."""
    if not node_id:
        _enter_run(draft)
        return
    node = draft.node(node_id)
    if node.phase is not Phase.PENDING or node.launched_at is not None:
        return
    if node.holding and not node.waiting_for:  # several of its locks became free, and each woke it: the first time let it in
        return
    source = bodies.source_of(draft, node)
    if node.role is not Role.ATTEMPT and not _may_go_on(draft, node, source):
        return
    try:
        working.begin(draft, draft.node(node.id), source)
    except TiphysError as error:
        nodes.error(draft, draft.node(node.id), str(error))


def _may_go_on(draft: Draft, node: Node, source: sources.Source) -> bool:
    """Whether the node has its locks and no memo; an error in these is one of a node that could not be created (semantics 2.1)."""
    waited = bool(node.waiting_for or node.wanting or node.holding)
    try:
        entered = _lock(draft, node, source)
        if entered is None:
            if message := working.too_late(draft, node):
                nodes.end(draft, draft.node(node.id), Phase.FAILED, message)
            elif source.template.timeout or source.template.pending_timeout:
                node = draft.node(node.id)
                working.be_patient(draft, node, bodies.body(draft, node, source))
            return False
        memoize = source.template.memoize
        return memoize is None or not _remembered(draft, entered, source, memoize)
    except TiphysError as error:
        node = draft.node(node.id)
        nodes.error(draft, node if waited else draft.change(node, type=NodeType.SKIPPED), str(error))
        return False


def _enter_run(draft: Draft) -> None:
    run = draft.run
    if run.phase.completed or not (run.wanting or run.postponed):
        return
    try:
        if run.postponed:
            if places.take(draft) and submitting.lock(draft):
                draft.later(todo.GoOn())
            return
        if locks.take_for_run(draft, run.wanting):
            draft.later(todo.GoOn())
    except TiphysError as error:
        submitting.refuse(draft, f"Failed to acquire the synchronization lock. {error}")


def look(draft: Draft) -> None:
    """Try everything of this run that waits for locks, in its order."""
    _enter_run(draft)
    for node in list(draft.all_nodes()):
        if node.waiting_for:
            draft.later(todo.Enter(node.id))


def _lock(draft: Draft, node: Node, source: sources.Source) -> Node | None:
    sync = source.template.synchronization
    if sync is None or node.holding:
        return node
    if node.waiting_for and room.holds_back(draft):
        return None
    wanted = node.wanting or locks.wanted(draft, sync, bodies.scope_of(draft, node, source), node.name)
    return locks.take(draft, node, wanted) if wanted else node


def _remembered(draft: Draft, node: Node, source: sources.Source, given: Memoize) -> bool:
    """Whether a memo ended the node; else its key is noted, to be remembered under (semantics 2.15)."""
    text = tags.compile(msgspec.json.encode(given).decode())
    scope = ChainScope(FlatScope({}), bodies.scope_of(draft, node, source), GlobalScope(draft))
    memoize = msgspec.json.decode(text.render(scope, Unresolved.KEEP, draft.chance(node.name)), type=Memoize)
    if CACHE_KEY.fullmatch(memoize.key) is None:
        raise binding.BindingError(f"invalid cache key: {memoize.key}")
    cache = memoize.cache.config_map.name if memoize.cache is not None and memoize.cache.config_map is not None else ""
    age = None
    if memoize.max_age:
        try:
            age = durations.parse(memoize.max_age)
        except TiphysError as error:
            raise binding.BindingError(f"invalid maxAge: {error}") from error
    found = draft.memo(cache, memoize.key) or _preloaded(draft, cache, memoize.key)
    hit = found is not None and (age is None or found[0] + age > draft.at)
    node = draft.change(node, memo=MemoizationStatus(hit=hit, key=memoize.key, cache_name=cache))
    if hit and found is not None:
        nodes.end(draft, node, Phase.SUCCEEDED, "", found[2])
    return hit


def _preloaded(draft: Draft, cache: str, key: str) -> tuple[datetime, str, Outputs | None] | None:
    """A memo from a ConfigMap that came with the submission."""
    found = draft.state.config_map(cache)
    if found is None:
        return None
    if (found.metadata.labels or {}).get(CACHE_LABEL) != "Cache":
        raise binding.BindingError(f"config map '{cache}' is no memo cache: it lacks the label {CACHE_LABEL}: Cache")
    text = (found.data or {}).get(key)
    if text is None:
        return None
    try:
        entry = json.loads(text)
        outputs = msgspec.convert(entry["outputs"], Outputs | None)
        return datetime.fromisoformat(entry["creationTimestamp"]), str(entry.get("nodeID", "")), outputs
    except (ValueError, LookupError, TypeError, msgspec.ValidationError) as error:
        raise binding.BindingError(f"the memo {key} of cache {cache} cannot be read: {error}") from error
