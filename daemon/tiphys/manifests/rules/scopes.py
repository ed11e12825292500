"""Which variables exist at a place (argo-variables.md): sets of names, one inside the other."""

from __future__ import annotations

CHECKED = ("item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks.")
"""Only tags that begin so are judged: users write other tags for other programs, and those survive to the container."""

ALWAYS = ("outputs.", "workflow.creationTimestamp", "workflow.scheduledTime", "workflow.duration", "tasks.name", "steps.name")
"""What begins so is known at run time only: metrics, cron, the expanded name of a step."""


class Scope:
    """The names known here and, through `outer`, around here. `anything(prefix)` makes every name below a prefix known."""

    __slots__ = ("families", "held", "outer")

    def __init__(self, outer: Scope | None = None) -> None:
        self.outer = outer
        self.held: set[str] = set()
        self.families: set[str] = set()

    def add(self, *names: str) -> None:
        """Make each of `names` known."""
        self.held.update(names)

    def anything(self, prefix: str) -> None:
        """Make whatever begins with `prefix` (which ends with a dot) known."""
        self.families.add(prefix)

    def knows(self, name: str) -> bool:
        """Whether `name` exists here or around here."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.held or (scope.families and scope.in_family(name)):
                return True
            scope = scope.outer
        return False

    def names(self) -> list[str]:
        """Every name known here or around here, the innermost first."""
        found: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            found.extend(sorted(scope.held))
            scope = scope.outer
        return found

    def in_family(self, name: str) -> bool:
        """Whether a prefix that `anything` was said of begins `name`."""
        dot = name.find(".")
        while dot >= 0:
            if name[: dot + 1] in self.families:
                return True
            dot = name.find(".", dot + 1)
        return False
