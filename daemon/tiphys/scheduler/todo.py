"""What is left to do inside one decision: the cascade's worklist, as data, so that its parts need not know each other."""

import msgspec

from tiphys.scheduler.calls import Call


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


class Conclude(Item, frozen=True):
    """The main part is over, or its exit handler is: go on to the end of the run."""


Todo = Start | NextAttempt | Begin | Look | Over | Settle | Moved | Enter | GoOn | Freed | Admit | Conclude
