"""Which variables an expression reads, known without running it."""

from tiphys.expressions.expr import argo, tree

Path = tuple[str, ...]


def paths(node: tree.Node) -> tuple[frozenset[Path], frozenset[Path]]:
    """The static access paths of the free variables, and those of them that only stand where `??` or `?.` guards them."""
    walk = _Walk()
    walk.visit(node, frozenset(), guarded=False)
    return frozenset(walk.found), frozenset(walk.guarded - walk.needed)


class _Walk:
    def __init__(self) -> None:
        self.guarded: set[Path] = set()
        self.needed: set[Path] = set()

    @property
    def found(self) -> set[Path]:
        return self.guarded | self.needed

    def visit(self, node: tree.Node, bound: frozenset[str], *, guarded: bool) -> None:
        match node:
            case tree.Name() | tree.Member():
                self._access(node, bound, guarded=guarded)
            case tree.Call():
                self._call(node, bound, guarded=guarded)
            case tree.Let(name=name, value=value, body=body):
                self.visit(value, bound, guarded=guarded)
                self.visit(body, bound | {name}, guarded=guarded)
            case tree.Binary(operator="??", left=left, right=right):
                self.visit(left, bound, guarded=True)
                self.visit(right, bound, guarded=guarded)
            case _:
                for child in tree.children(node):
                    self.visit(child, bound, guarded=guarded)

    def _access(self, node: tree.Node, bound: frozenset[str], *, guarded: bool) -> None:
        parts: list[str] = []
        current = node
        while True:
            match current:
                case tree.Member(target=target, key=tree.String(value=name), optional=optional):
                    parts.append(name)
                    guarded = guarded or optional
                    current = target
                case tree.Member(target=target, key=key, optional=optional):
                    self.visit(key, bound, guarded=False)
                    parts.clear()
                    guarded = guarded or optional
                    current = target
                case tree.Chain(body=body):
                    current = body
                case _:
                    break
        if not isinstance(current, tree.Name):
            self.visit(current, bound, guarded=guarded)
            return
        path = tuple(reversed(parts)) if current.name == "$env" else (current.name, *reversed(parts))
        if path and current.name not in bound:
            (self.guarded if guarded else self.needed).add(path)

    def _call(self, node: tree.Call, bound: frozenset[str], *, guarded: bool) -> None:
        match node.callee:
            case tree.Name(name=name) if name not in bound and name in argo.TABLE:
                pass
            case tree.Member(target=tree.Name(name="sprig")) if "sprig" not in bound:
                pass
            case tree.Member(target=target, optional=optional):
                self.visit(target, bound, guarded=guarded or optional)
            case callee:
                self.visit(callee, bound, guarded=guarded)
        for argument in node.arguments:
            self.visit(argument, bound, guarded=guarded)
