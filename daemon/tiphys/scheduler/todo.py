"""What is left to do inside one decision: the cascade's worklist, as data, so that its parts need not know each other.

What may be much (a large loop, the tasks of a large dag, the nodes of a run that is taken up again) is an item that does a slice of it and
puts itself on the list again for the next, with the place where to go on: between two slices a decision may end, and the next one of the
run takes the list up where it was.
"""

import msgspec

from tiphys.scheduler.calls import Call
from tiphys.scheduler.records import Node


class Item(msgspec.Struct, frozen=True):
    """The base of the worklist's items."""


class Start(Item, frozen=True):
    """Make the call's node, or let the call wait for room."""

    call: Call


class NextAttempt(Item, frozen=True):
    """Make the next attempt of a Retry node."""

    node_id: str


class Begin(Item, frozen=True):
    """Set a composite node going, or on again after a restart."""

    node_id: str


class Look(Item, frozen=True):
    """See whether a DAG node is over."""

    node_id: str


class Over(Item, frozen=True):
    """The node's phase has become its last one."""

    node_id: str


class Settle(Item, frozen=True):
    """The node and its hooks are over: tell its owner."""

    node_id: str


class Moved(Item, frozen=True):
    """The node's phase has changed to one that is not its last: hooks may fire."""

    node_id: str


class Enter(Item, frozen=True):
    """Take the locks a node ("": the run itself) waits for, and go on, if they are free."""

    node_id: str


class GoOn(Item, frozen=True):
    """Take up everything that is outstanding."""


class Freed(Item, frozen=True):
    """Locks became free."""

    locks: tuple[str, ...]


class Admit(Item, frozen=True):
    """Something in a boundary ("": the run) ended: let one waiting call in."""

    boundary: str


class Resolve(Item, frozen=True):
    """Resolve the calls of a loop up to this many: those of a step group, or (`task`) of a dag's task, whose group may not be there yet."""

    node_id: str
    task: str
    upto: int


class Expand(Item, frozen=True):
    """Start the calls of a loop, from this one on."""

    node_id: str
    index: int


class Gather(Item, frozen=True):
    """Put together what a loop's nodes gave, from this one on, and then end the loop."""

    node_id: str
    index: int


class Close(Item, frozen=True):
    """End a loop whose nodes are over, and what they gave is put together."""

    node_id: str


class Walk(Item, frozen=True):
    """Start the tasks of a dag of these names, all of which are ready, from this one on; then see whether the dag is over."""

    node_id: str
    tasks: tuple[str, ...]
    index: int


class TakeUp(Item, frozen=True):
    """Take up these nodes after a restart, from this one on."""

    nodes: tuple[Node, ...]
    index: int


class Release(Item, frozen=True):
    """Start calls that had waited for room, from this one on: there may be room for all of them."""

    calls: tuple[Call, ...]
    index: int


class EndAll(Item, frozen=True):
    """End the nodes of these ids, from this one on: a running one with one message, one that only waits with the other."""

    nodes: tuple[str, ...]
    index: int
    running: str
    idle: str


class Conclude(Item, frozen=True):
    """The main part is over, or its exit handler is: go on to the end of the run."""


Todo = (
    Start
    | NextAttempt
    | Begin
    | Look
    | Over
    | Settle
    | Moved
    | Enter
    | GoOn
    | Freed
    | Admit
    | Resolve
    | Expand
    | Gather
    | Close
    | Walk
    | TakeUp
    | EndAll
    | Release
    | Conclude
)

Slice = Resolve | Expand | Gather | Close | Walk | TakeUp | EndAll | Release
"""Items before which a decision may end."""

FOUND_AGAIN = Slice | Start | NextAttempt | Begin | Look | Settle | Freed | Admit | Conclude
"""Items that may be left for the next decision: after a crash, recovery finds by the rows what they would have done."""
