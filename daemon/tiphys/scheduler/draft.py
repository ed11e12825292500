"""A draft: one decision being made. It reads through to the state, which stays untouched until the decision is applied.

A decision's cascade is a worklist: `later` adds to it, `decide` works it off to a fixed point.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import structs

from tiphys.expressions.chance import Chance
from tiphys.scheduler import decision
from tiphys.scheduler.events import Event
from tiphys.scheduler.queues import Queue
from tiphys.scheduler.records import Node, Role
from tiphys.scheduler.state import SHARED, Key, RunState, counts_alike, effects, run_effects
from tiphys.scheduler.todo import FOUND_AGAIN, Slice, Todo
from tiphys.spec import names
from tiphys.spec.status import Phase
from tiphys.spec.templates import Outputs


class Draft:
    """One run as it will be. `at` is the event's time; no other clock exists here. `spent`: how much work the decision was, in items of the
    worklist.
    """

    __slots__ = (
        "_bumps",
        "_commands",
        "_effects",
        "_erased",
        "_follows",
        "_fresh",
        "_ids",
        "_items",
        "_nodes",
        "_owned",
        "_queues",
        "_removed",
        "_todo",
        "at",
        "run",
        "spent",
        "state",
    )

    def __init__(self, state: RunState, at: datetime) -> None:
        self.state = state
        self.at = at
        self.spent = 0
        self.run = state.run
        """The run's row."""
        self._nodes: dict[str, Node] = {}
        self._removed: dict[str, None] = {}
        self._ids: dict[str, str] = {}
        self._owned: dict[str, list[str]] = {}
        self._bumps: dict[Key, int] = {}
        self._effects: dict[Key, int] = {}
        self._queues: dict[str, Queue] = {}
        self._commands: list[decision.Command] = []
        self._items: list[decision.Change] = []
        self._follows: list[Event] = []
        self._erased = False
        self._todo: deque[Todo] = deque(state.rest)
        self._fresh: list[Todo] = []

    # the run

    def change_run(self, **changes: object) -> None:
        """Change fields of the run's row."""
        old, new = self.run, structs.replace(self.run, **changes)
        for key, amount in run_effects(old):
            self._effect(key, -amount)
        for key, amount in run_effects(new):
            self._effect(key, amount)
        self.run = new

    def chance(self, name: str) -> Chance:
        """Time and chance for the expressions of the node called `name`: the same at every replay."""
        return Chance(now=self.at, seed=f"{self.run.seed}/{name}")

    # nodes

    def node(self, node_id: str) -> Node:
        """The node with this id."""
        found = self._nodes.get(node_id)
        return found if found is not None else self.state.nodes[node_id]

    def find(self, node_id: str) -> Node | None:
        """The node with this id, if there is one."""
        found = self._nodes.get(node_id)
        if found is not None:
            return found
        return None if node_id in self._removed else self.state.nodes.get(node_id)

    def named(self, name: str) -> Node | None:
        """The node with this full name, if there is one."""
        node_id = self._ids.get(name)
        if node_id is not None:
            return self._nodes[node_id]
        node_id = self.state.ids.get(name)
        return None if node_id is None else self.find(node_id)

    def all_nodes(self) -> Iterator[Node]:
        """Every node, in the order they were made."""
        for node_id in self.state.nodes:
            if node_id not in self._removed:
                yield self._nodes.get(node_id) or self.state.nodes[node_id]
        for node_id, node in self._nodes.items():
            if node_id not in self.state.nodes or node_id in self._removed:
                yield node

    def changed(self) -> Iterable[Node]:
        """The nodes that are new or others than before, in the order in which that came."""
        return self._nodes.values()

    def has_artifacts(self) -> bool:
        """Whether any node gave an artifact."""
        nodes = [self._nodes, self.state.nodes] if self.state.artifacts else [self._nodes]
        return any(node.outputs is not None and bool(node.outputs.artifacts) for found in nodes for node in found.values())

    def owned(self, owner: str) -> list[Node]:
        """The nodes that `owner` waits for, in the order they were made."""
        if owner not in self.state.owned and owner not in self._owned:
            return []
        state, changed = self.state.nodes, self._nodes.get
        ids: Iterable[str] = self.state.owned.get(owner, ())
        if self._removed:
            ids = [node_id for node_id in ids if node_id not in self._removed]
        old = [changed(node_id) or state[node_id] for node_id in ids] if self._nodes else [state[node_id] for node_id in ids]
        return old + [self._nodes[node_id] for node_id in self._owned[owner]] if owner in self._owned else old

    def owned_in_turn(self, owner: str) -> Iterator[Node]:
        """As `owned`, one at a time: for who need not see them all."""
        for node_id in self.state.owned.get(owner, ()):
            if node_id not in self._removed:
                yield self.node(node_id)
        for node_id in self._owned.get(owner, ()):
            yield self._nodes[node_id]

    def owned_count(self, owner: str) -> int:
        """How many nodes `owner` waits for, those a retry of the workflow is about to take away included."""
        return len(self.state.owned.get(owner, ())) + len(self._owned.get(owner, ()))

    def owned_slice(self, owner: str, start: int, end: int) -> list[Node]:
        """Some of the nodes that `owner` waits for."""
        old = self.state.owned.get(owner, [])
        fresh = self._owned.get(owner, [])[max(0, start - len(old)) : max(0, end - len(old))]
        return [self.node(node_id) for node_id in (*old[start:end], *fresh)]

    def owns(self, owner: str) -> bool:
        """Whether a node waits for any other."""
        return owner in self._owned or (owner in self.state.owned and bool(self.owned(owner)))

    def last_owned(self, owner: str, role: Role) -> Node | None:
        """The newest node that `owner` waits for and that is this to it."""
        return next((node for node in reversed(self.owned(owner)) if node.role is role), None)

    def fresh_id(self, name: str) -> str:
        """The id for a new node: Argo's, and a counted suffix where two names of one run have the same 32-bit hash."""
        first = node_id = names.node_id(self.run.name, name)
        count = 1
        while (taken := self.find(node_id)) is not None and taken.name != name:
            count += 1
            node_id = f"{first}-{count}"
        return node_id

    def put(self, node: Node) -> Node:
        """Add or change a node."""
        node_id = node.id
        old = self._nodes.get(node_id)
        if old is None and node_id not in self._removed:
            old = self.state.nodes.get(node_id)
        if old is None or not counts_alike(old, node):
            sums = self._effects
            for key, amount in effects(old) if old is not None else ():
                sums[key] = sums.get(key, 0) - amount
            for key, amount in effects(node):
                sums[key] = sums.get(key, 0) + amount
        if old is None:
            self._ids[node.name] = node_id
            if node.owner:
                self._owned.setdefault(node.owner, []).append(node_id)
        self._nodes[node_id] = node
        return node

    def fresh_waiters(self, lock: str) -> list[Node]:
        """Nodes that began to wait for a lock in this very decision."""
        return [node for node in self.began_to_wait() if lock in node.wanting]

    def began_to_wait(self) -> list[Node]:
        """Nodes that began to wait for locks in this very decision."""
        waiting = [node for node in self._nodes.values() if node.waiting_for]
        return [node for node in waiting if (old := self.state.nodes.get(node.id)) is None or not old.waiting_for]

    def memo(self, cache: str, key: str) -> tuple[datetime, str, Outputs | None] | None:
        """What is remembered under a key: when it was made, by which node, and the outputs."""
        for node in self._nodes.values():
            memo = node.memo
            if memo is not None and not memo.hit and (memo.cache_name, memo.key) == (cache, key) and node.phase is Phase.SUCCEEDED:
                return node.finished_at or self.at, node.id, node.outputs
        memo_ = self.state.shared.memos.get((self.run.namespace, cache, key))
        return None if memo_ is None else (memo_.finished_at, memo_.node_id, memo_.outputs)

    def change(self, node: Node, **changes: object) -> Node:
        """Change fields of a node."""
        return self.put(structs.replace(node, **changes))

    def settle(self, node: Node) -> Node:
        """Mark a node as settled, which no counter is about."""
        node = self._nodes[node.id] = structs.replace(node, settled=True)
        return node

    def remove(self, node_id: str) -> None:
        """Forget a node that was there before this decision."""
        for key, amount in effects(self.find(node_id)):
            self._effect(key, -amount)
        self._removed[node_id] = None
        self._nodes.pop(node_id, None)

    # arithmetic

    def _effect(self, key: Key, amount: int) -> None:
        self._effects[key] = self._effects.get(key, 0) + amount

    def count(self, *key: str) -> int:
        """A counter's value."""
        state = self.state
        value = (state.shared.counters if key[0] in SHARED else state.counters).get(key, 0)
        if self._bumps:
            value += self._bumps.get(key, 0)
        return value + self._effects.get(key, 0) if self._effects else value

    def bump(self, amount: int, *key: str) -> int:
        """Move a counter and tell its new value."""
        self._bumps[key] = self._bumps.get(key, 0) + amount
        return self.count(*key)

    def set_count(self, value: int, *key: str) -> None:
        """Make a counter's value this."""
        self.bump(value - self.count(*key), *key)

    def queue(self, name: str) -> Queue:
        """The calls that wait for room: in the run ("") or in a boundary (its id)."""
        found = self._queues.get(name)
        if found is None:
            found = self._queues[name] = Queue(self.state.parked.get(name, []))
        return found

    def waiting(self, name: str) -> int:
        """How many calls wait in a queue."""
        return len(self.queue(name)) if name in self._queues or name in self.state.parked else 0

    @property
    def somebody_waits(self) -> bool:
        """Whether anything waits for room or for locks, or did before this decision."""
        return bool(self._queues or self.state.parked or self.count("waiting"))

    def queues(self) -> list[str]:
        """The queues that have calls in them, or had."""
        return list({**self.state.parked, **self._queues})

    # the cascade

    def command(self, command: decision.Command) -> None:
        """Let something be done once this is recorded."""
        self._commands.append(command)

    def also(self, change: decision.Change) -> None:
        """Change a row that is not of this run's nodes."""
        self._items.append(change)

    def follow(self, event: Event) -> None:
        """Let a fact follow for another run, or for this one once this decision is applied."""
        self._follows.append(event)

    @property
    def erased(self) -> bool:
        """Whether the run goes."""
        return self._erased

    def erase(self) -> None:
        """Let the run go, with all that is its."""
        self._erased = True

    def withdraw(self, node_id: str) -> None:
        """Let nothing be done for a node that was made in this very decision and ended in it."""
        self._commands = [command for command in self._commands if getattr(command, "node_id", "") != node_id]

    def later(self, item: Todo) -> None:
        """Put an item on the worklist: what follows from an item is done before its neighbours, as Argo's walk would."""
        self._fresh.append(item)

    def next(self) -> Todo | None:
        """The next item of the worklist; None at the fixed point."""
        fresh = self._fresh
        if fresh:
            if len(fresh) == 1:
                return fresh.pop()
            self._todo.extendleft(reversed(fresh))
            fresh.clear()
        return self._todo.popleft() if self._todo else None

    def before_slice(self) -> bool:
        """Whether a slice of something large is next."""
        return isinstance((self._fresh or self._todo or (None,))[0], Slice)

    def may_end(self) -> bool:
        """Whether recovery would find all that is left to do, so that the decision may end here."""
        return all(isinstance(item, FOUND_AGAIN) for item in (*self._fresh, *self._todo))

    def decision(self, *first: decision.Change) -> decision.Decision:
        """What differs now; `first` goes before the rest."""
        uid = self.run.uid
        changes: list[decision.Change] = list(first)
        if self._erased:
            changes += [*self._items, decision.RunRemoved(uid=uid)]
            commands = (decision.Finish(uid=uid), decision.Erase(uid=uid))
            return decision.Decision(uid=uid, changes=tuple(changes), commands=commands, follows=tuple(self._follows))
        if self.run is not self.state.run or first:
            changes.append(decision.RunPut(run=self.run))
        if self._removed:
            changes.extend(decision.NodeRemoved(uid=uid, node_id=node_id) for node_id in self._removed)
        changes += [decision.NodePut(uid=uid, node=node) for node in self._nodes.values()]
        changes.extend(self._items)
        rest = (*self._fresh, *self._todo)
        return decision.Decision(
            uid=uid,
            changes=tuple(changes),
            commands=(*self._commands, decision.Continue(uid=uid)) if rest else tuple(self._commands),
            bumps=tuple([(key, amount) for key, amount in self._bumps.items() if amount]),
            parked=tuple([(name, entry[2]) for name, queue in self._queues.items() for entry in queue.added]) if self._queues else (),
            unparked=tuple([(name, queue.taken) for name, queue in self._queues.items() if queue.taken]) if self._queues else (),
            follows=tuple(self._follows),
            rest=rest,
        )
