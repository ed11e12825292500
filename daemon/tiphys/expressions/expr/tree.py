"""The syntax tree of the expr language: frozen nodes. `at` is the place in the source and takes no part in comparing."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Nil:
    """`nil`."""

    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Boolean:
    """`true` or `false`."""

    value: bool
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number of 64 bits."""

    value: int
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Float:
    """A number with a point or an exponent."""

    value: float
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class String:
    """Text, its escapes resolved."""

    value: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    """A variable: bound by `let`, or of the environment."""

    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Pointer:
    """`#`, `#acc` or `#index` inside a predicate; `name` is what follows the `#`."""

    name: str
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`!x`, `-x`, `+x`."""

    operator: str
    operand: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """`x + y` and its kin; `and`, `or`, `^` are stored as `&&`, `||`, `**`."""

    operator: str
    left: "Node"
    right: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Member:
    """`x.y`, `x[y]`, and with `optional` `x?.y`, `x?.[y]`."""

    target: "Node"
    key: "Node"
    optional: bool
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Slice:
    """`x[a:b]`."""

    target: "Node"
    start: "Node | None"
    stop: "Node | None"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """The reach of `?.`: nil on its left makes the whole chain nil."""

    body: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`f(x)` where f is no builtin: a function of the environment or a method."""

    callee: "Node"
    arguments: "tuple[Node, ...]"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Builtin:
    """`len(x)`, `filter(x, # > 1)`; an argument may be a Predicate."""

    name: str
    arguments: "tuple[Node, ...]"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Predicate:
    """An expression evaluated once for each element."""

    body: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Conditional:
    """`test ? then : otherwise`."""

    test: "Node"
    then: "Node"
    otherwise: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value; body`."""

    name: str
    value: "Node"
    body: "Node"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Sequence:
    """`a; b; c`: the value of the last."""

    items: "tuple[Node, ...]"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Array:
    """`[a, b]`."""

    items: "tuple[Node, ...]"
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Map:
    """`{a: 1, "b": 2, (c): 3}`; plain keys are stored as Strings."""

    pairs: "tuple[tuple[Node, Node], ...]"
    at: int = field(default=0, compare=False)


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
