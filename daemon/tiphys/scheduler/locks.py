"""Mutexes and semaphores (semantics 2.11). Who holds what is in the rows; counts and queues are sums over them, so nothing leaks.

All locks of a list are taken together or not at all. The order of a queue is priority, then the workflow's age; only the first
workflow of a queue may take a lock, several of its nodes in the order in which they came.
"""

import msgspec

from tiphys.expressions import tags
from tiphys.expressions.durations import quoted
from tiphys.expressions.scope import Scope
from tiphys.expressions.tags import Unresolved
from tiphys.scheduler import decision, todo
from tiphys.scheduler.binding import BindingError
from tiphys.scheduler.draft import Draft
from tiphys.scheduler.records import Node
from tiphys.scheduler.state import Waiter
from tiphys.spec.status import Phase
from tiphys.spec.templates import Synchronization

MUTEX = "Mutex"
DATABASE_MUTEX = "Database"
"""Among controllers such a mutex lives in a shared database; on one machine there is one controller, and its journal is it."""
SEMAPHORE = "ConfigMap"
DATABASE_SEMAPHORE = "Semaphore"
"""Argo keeps the limits of these in a table of its shared database; here they are settings, or keys of a ConfigMap of their namespace."""
STORED_LIMITS = "tiphys-semaphore-limits"
"""That ConfigMap, which goes before the settings."""


def wanted(draft: Draft, given: Synchronization, scope: Scope, name: str) -> tuple[str, ...]:
    """The names of the locks that a template or workflow asks for; `name` is whose chance the tags have. Raises BindingError."""
    text = tags.compile(msgspec.json.encode(given).decode()).render(scope, Unresolved.KEEP, draft.chance(name))
    sync = msgspec.json.decode(text, type=Synchronization)
    own = draft.run.namespace
    names = [
        f"{mutex.namespace or own}/{DATABASE_MUTEX if mutex.database else MUTEX}/{mutex.name}"
        for mutex in (*sync.mutexes, *((sync.mutex,) if sync.mutex is not None else ()))
    ]
    for semaphore in (*sync.semaphores, *((sync.semaphore,) if sync.semaphore is not None else ())):
        key = semaphore.config_map_key_ref
        if key is not None:
            names.append(f"{semaphore.namespace or own}/{SEMAPHORE}/{key.name}/{key.key}")
        elif semaphore.database is not None:
            names.append(f"{semaphore.namespace or own}/{DATABASE_SEMAPHORE}/{semaphore.database.key}")
        else:
            raise BindingError("a semaphore needs configMapKeyRef or database")
    for lock in names:
        if names.count(lock) > 1:
            raise BindingError(f"duplicate synchronization item found: {lock}")
    return tuple(names)


def limit(draft: Draft, lock: str) -> int:
    """How many may hold a lock. Raises BindingError where a semaphore's limit is missing, zero or no number."""
    _, kind, rest = lock.split("/", 2)
    if kind in (MUTEX, DATABASE_MUTEX):
        return 1
    set_ = _set(draft, lock)
    if kind == DATABASE_SEMAPHORE:
        if not set_:
            raise BindingError(f"failed to initialize semaphore {lock} with limit: the setting semaphores has no {rest!r}")
        return set_
    name, _, key = rest.partition("/")
    found = draft.state.config_map(name, lock.partition("/")[0])
    if found is None and set_:
        return set_
    if found is None:
        raise BindingError(f'failed to initialize semaphore {lock} with limit: configmaps "{name}" not found')
    return _parsed(lock, key, (found.data or {}).get(key))


def _parsed(lock: str, key: str, text: str | None) -> int:
    """The limit in a ConfigMap's value. Raises BindingError, with Argo's words for what is wrong with it."""
    if text is None:
        why = f"Sync configuration key '{key}' not found in ConfigMap"
    elif not text.strip().isdecimal():
        why = f"strconv.Atoi: parsing {quoted(text)}: invalid syntax"
    elif int(text) == 0:
        why = f"the limit under {key} is 0"
    else:
        return int(text)
    raise BindingError(f"failed to initialize semaphore {lock} with limit: {why}")


def _set(draft: Draft, lock: str) -> int:
    """The limit that settings give a semaphore, the most special first; 0: none."""
    namespace, kind, rest = lock.split("/", 2)
    stored = draft.state.shared.registry.config_map(namespace, STORED_LIMITS) if kind == DATABASE_SEMAPHORE else None
    text = ((stored.data if stored is not None else None) or {}).get(rest, "")
    if text.isdecimal() and int(text):
        return int(text)
    given = draft.state.manifest.chosen.semaphores
    return given.get(f"{namespace}/{rest}") or given.get(rest, 0)


def blocked(draft: Draft, locks: tuple[str, ...], *, used: bool = False) -> tuple[str, str]:
    """Which of these locks the run cannot take now, and why, in Argo's words; "" where it can take all.

    A limit that cannot be had is an error at the first use of a lock, and later (`used`: it had them before) a reason to wait.
    Raises BindingError.
    """
    rank = draft.state.rank
    for lock in locks:
        held = draft.count("lock", lock)
        waiting = draft.state.shared.first_waiters(lock)
        try:
            most = limit(draft, lock)
        except BindingError:
            if not held and not waiting and not used:
                raise
            return lock, f"Failed to get semaphore limit for {lock}"
        if held >= most or any(waiter.uid != draft.run.uid and waiter.rank < rank for waiter in waiting):
            return lock, f"Waiting for {lock} lock. Lock status: {max(most - held, 0)}/{most}"
    return "", ""


def take(draft: Draft, node: Node, locks: tuple[str, ...]) -> Node | None:
    """Give a node its locks, or let it wait for them (None). Raises BindingError."""
    lock, reason = blocked(draft, (node.waiting_for, *locks) if node.waiting_for else locks)  # as long as that is true, it is the reason
    if lock:
        if node.message != reason:
            draft.change(node, message=reason, waiting_for=lock, wanting=locks)
            draft.later(todo.Admit(node.boundary))
        return None
    return draft.change(node, message="", waiting_for="", wanting=(), holding=locks)


def most(draft: Draft, lock: str) -> int:
    """How many may hold a lock; nobody where its limit cannot be known."""
    try:
        return limit(draft, lock)
    except BindingError:
        return 0


def freed(draft: Draft, locks: tuple[str, ...]) -> None:
    """Locks became free: let this run's waiting nodes try in their order, and wake the workflow that is first in a queue. A mutex needs
    only one to try: the first for which it was the last that was missing.
    """
    for lock in locks:
        shared = draft.state.shared
        tried, only_one, missing = False, most(draft, lock) == 1, set[str]()  # where its limit is gone, all of them will say so
        for waiter in shared.waiters(lock):
            if waiter.uid != draft.run.uid:
                draft.command(decision.Wake(uid=waiter.uid))
                break
            node = draft.find(waiter.node_id) if waiter.node_id else None
            if waiter.node_id and (node is None or not node.waiting_for):
                continue
            lacks = only_one and node is not None and _lacks_other(draft, node, lock, missing)
            if not lacks or not tried:  # the first is told what it waits for now
                draft.later(todo.Enter(waiter.node_id))
            tried = True
            if only_one and not lacks:
                break
        if not tried:
            for node in draft.fresh_waiters(lock):
                draft.later(todo.Enter(node.id))


def _lacks_other(draft: Draft, node: Node, lock: str, missing: set[str]) -> bool:
    """Whether a waiting node cannot take another lock than this one; which those are is gathered in `missing`."""
    if not missing.isdisjoint(node.wanting):
        return True
    other = _missing(draft, node)
    if other in ("", lock):
        return False
    missing.add(other)
    return True


def pass_on(draft: Draft) -> None:
    """At a decision's end: who waits for locks no more, by having them or by giving up, was in the way of others. Where the workflow that
    is first in the queue now is another one and the lock is free, it is woken.
    """
    shared, before = draft.state.shared, draft.state.nodes
    if not shared.queues:
        return
    lefts = [*draft.state.run.wanting] if not draft.run.wanting else []
    for node in draft.changed():
        old = before.get(node.id)
        if old is not None and old.wanting and not node.wanting:
            lefts += old.wanting
    uids = {first.uid: None for lock in dict.fromkeys(lefts) if (first := _first(draft, lock)) is not None}
    for uid in uids:
        draft.command(decision.Wake(uid=uid))


def _first(draft: Draft, lock: str) -> Waiter | None:
    """Who is first in the queue of a lock that is free, if that is another workflow."""
    if draft.count("lock", lock) >= most(draft, lock):
        return None
    for waiter in draft.state.shared.waiters(lock):
        if waiter.uid != draft.run.uid:
            return waiter
        if draft.run.wanting if not waiter.node_id else (node := draft.find(waiter.node_id)) is not None and node.wanting:
            return None
    return None


def could_take(draft: Draft) -> Node | None:
    """A node of the run that has waited for its locks, which are free by now: it had no room when they became so."""
    if draft.state.manifest.workflow.spec.parallelism is None:
        return None
    shared = draft.state.shared
    for lock in shared.queues:
        for waiter in shared.waiters(lock):
            node = draft.find(waiter.node_id) if waiter.uid == draft.run.uid and waiter.node_id else None
            if node is not None and node.waiting_for:
                missing = _missing(draft, node)
                if not missing:
                    return node
                if missing == lock:
                    break
    return next((node for node in draft.began_to_wait() if not _missing(draft, node)), None)


def _missing(draft: Draft, node: Node) -> str:
    """The first lock that a waiting node cannot take; "": none, or it will be told what is wrong."""
    try:
        return blocked(draft, node.wanting)[0]
    except BindingError:
        return ""


def take_for_run(draft: Draft, locks: tuple[str, ...]) -> bool:
    """Give the run itself its locks, or let it wait for them: also a retried one. Raises BindingError."""
    lock, reason = blocked(draft, locks, used=draft.find(draft.run.name) is not None)
    if lock:
        draft.change_run(phase=Phase.PENDING, message=reason, waiting_for=lock, wanting=locks)
        return False
    draft.change_run(message="", waiting_for="", wanting=(), holding=locks)
    return True
