"""Which variables exist at a place (argo-variables.md): sets of names, one inside the other."""

from __future__ import annotations

from collections.abc import Sequence

CHECKED = ("item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks.")
"""Only tags that begin so are judged: users write other tags for other programs, and those survive to the container."""

ALWAYS = ("outputs.", "workflow.creationTimestamp", "workflow.scheduledTime", "workflow.duration", "tasks.name", "steps.name")
"""What begins so is known at run time only: metrics, cron, the expanded name of a step."""


class Scope:
    """The names known here and, through `outer`, around here. `anything(prefix)` makes every name below a prefix known.

    The names of nodes are kept as their beginnings and endings: of thousands of nodes few are ever asked for.
    """

    __slots__ = ("families", "held", "nodes", "outer")

    def __init__(self, outer: Scope | None = None) -> None:
        self.outer = outer
        self.held: set[str] = set()
        self.nodes: dict[str, Sequence[str]] = {}
        self.families: set[str] = set()

    def add(self, *names: str) -> None:
        """Make each of `names` known."""
        self.held.update(names)

    def node(self, prefix: str, endings: Sequence[str]) -> None:
        """Make the variables of the node `prefix` known by their endings, each of which begins with a dot."""
        before = self.nodes.setdefault(prefix, endings)
        if before is not endings:
            self.nodes[prefix] = [*before, *endings]

    def anything(self, prefix: str) -> None:
        """Make whatever begins with `prefix` (which ends with a dot) known."""
        self.families.add(prefix)

    def knows(self, name: str) -> bool:
        """Whether `name` exists here or around here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.held or ((scope.nodes or scope.families) and scope.has_below(name)):
                return True
            scope = scope.outer
        return False

    def names(self) -> list[str]:
        """Every name known here or around here, the innermost first."""
        found: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            of_nodes = (prefix + ending for prefix, endings in scope.nodes.items() for ending in endings)
            found.extend(sorted({*scope.held, *of_nodes}))
            scope = scope.outer
        return found

    def has_below(self, name: str) -> bool:
        """Whether it is a node's, or a prefix that `anything` was said of begins it."""
        dot = name.find(".")
        while dot >= 0:
            if name[: dot + 1] in self.families or name[dot:] in self.nodes.get(name[:dot], ()):
                return True
            dot = name.find(".", dot + 1)
        return False
