"""The syntax tree of the expr language: frozen nodes. `at` is the place in the source and takes no part in comparing."""

import msgspec


class Placed(msgspec.Struct, frozen=True, eq=False):
    """A node, equal to another of its class that holds the same, wherever the two stand."""

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name != "at")

    def __hash__(self) -> int:
        return hash((self.__class__, *(getattr(self, name) for name in self.__struct_fields__ if name != "at")))


class Nil(Placed, frozen=True, eq=False):
    """`nil`."""

    at: int = 0


class Boolean(Placed, frozen=True, eq=False):
    """`true` or `false`."""

    value: bool
    at: int = 0


class Integer(Placed, frozen=True, eq=False):
    """A whole number of 64 bits."""

    value: int
    at: int = 0


class Float(Placed, frozen=True, eq=False):
    """A number with a point or an exponent."""

    value: float
    at: int = 0


class String(Placed, frozen=True, eq=False):
    """Text, its escapes resolved."""

    value: str
    at: int = 0


class Name(Placed, frozen=True, eq=False):
    """A variable: bound by `let`, or of the environment."""

    name: str
    at: int = 0


class Pointer(Placed, frozen=True, eq=False):
    """`#`, `#acc` or `#index` inside a predicate; `name` is what follows the `#`."""

    name: str
    at: int = 0


class Unary(Placed, frozen=True, eq=False):
    """`!x`, `-x`, `+x`."""

    operator: str
    operand: "Node"
    at: int = 0


class Binary(Placed, frozen=True, eq=False):
    """`x + y` and its kin; `and`, `or`, `^` are stored as `&&`, `||`, `**`."""

    operator: str
    left: "Node"
    right: "Node"
    at: int = 0


class Member(Placed, frozen=True, eq=False):
    """`x.y`, `x[y]`, and with `optional` `x?.y`, `x?.[y]`."""

    target: "Node"
    key: "Node"
    optional: bool
    at: int = 0


class Slice(Placed, frozen=True, eq=False):
    """`x[a:b]`."""

    target: "Node"
    start: "Node | None"
    stop: "Node | None"
    at: int = 0


class Chain(Placed, frozen=True, eq=False):
    """The reach of `?.`: nil on its left makes the whole chain nil."""

    body: "Node"
    at: int = 0


class Call(Placed, frozen=True, eq=False):
    """`f(x)` where f is no builtin: a function of the environment or a method."""

    callee: "Node"
    arguments: "tuple[Node, ...]"
    at: int = 0


class Builtin(Placed, frozen=True, eq=False):
    """`len(x)`, `filter(x, # > 1)`; an argument may be a Predicate."""

    name: str
    arguments: "tuple[Node, ...]"
    at: int = 0


class Predicate(Placed, frozen=True, eq=False):
    """An expression evaluated once for each element."""

    body: "Node"
    at: int = 0


class Conditional(Placed, frozen=True, eq=False):
    """`test ? then : otherwise`."""

    test: "Node"
    then: "Node"
    otherwise: "Node"
    at: int = 0


class Let(Placed, frozen=True, eq=False):
    """`let name = value; body`."""

    name: str
    value: "Node"
    body: "Node"
    at: int = 0


class Sequence(Placed, frozen=True, eq=False):
    """`a; b; c`: the value of the last."""

    items: "tuple[Node, ...]"
    at: int = 0


class Array(Placed, frozen=True, eq=False):
    """`[a, b]`."""

    items: "tuple[Node, ...]"
    at: int = 0


class Map(Placed, frozen=True, eq=False):
    """`{a: 1, "b": 2, (c): 3}`; plain keys are stored as Strings."""

    pairs: "tuple[tuple[Node, Node], ...]"
    at: int = 0


Node = (
    Nil
    | Boolean
    | Integer
    | Float
    | String
    | Name
    | Pointer
    | Unary
    | Binary
    | Member
    | Slice
    | Chain
    | Call
    | Builtin
    | Predicate
    | Conditional
    | Let
    | Sequence
    | Array
    | Map
)


def children(node: Node) -> "tuple[Node, ...]":
    """The nodes directly below, in the order of the source."""
    match node:
        case Unary(operand=child) | Chain(body=child) | Predicate(body=child):
            return (child,)
        case Binary(left=left, right=right):
            return (left, right)
        case Member(target=target, key=key):
            return (target, key)
        case Slice(target=target, start=start, stop=stop):
            return (target, *(bound for bound in (start, stop) if bound is not None))
        case Call(callee=callee, arguments=arguments):
            return (callee, *arguments)
        case Builtin(arguments=items) | Sequence(items=items) | Array(items=items):
            return items
        case Conditional(test=test, then=then, otherwise=otherwise):
            return (test, then, otherwise)
        case Let(value=value, body=body):
            return (value, body)
        case Map(pairs=pairs):
            return tuple(part for pair in pairs for part in pair)
        case _:
            return ()
