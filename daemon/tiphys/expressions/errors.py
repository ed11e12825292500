"""What can be wrong with an expression: an error knows its source and the place in it."""

from tiphys import errors


class ExpressionError(errors.TiphysError):
    """The expression cannot be evaluated."""

    def __init__(self, source: str, offset: int, reason: str) -> None:
        """`offset` counts characters of `source` from 0; `reason` is one line without a place."""
        self.source = source
        self.offset = max(0, min(offset, len(source)))
        self.reason = reason
        super().__init__(f"{reason} ({self.line}:{self.column})\n{self.caret()}")

    def __reduce__(self) -> tuple[type["ExpressionError"], tuple[str, int, str]]:
        return type(self), (self.source, self.offset, self.reason)

    @property
    def line(self) -> int:
        """The line of the place, counted from 1."""
        return self.source.count("\n", 0, self.offset) + 1

    @property
    def column(self) -> int:
        """The column of the place, counted from 1."""
        return self.offset - self.source.rfind("\n", 0, self.offset)

    def caret(self) -> str:
        """Two lines: the source line, cut where it is long, and a `^` under the place (the look of expr's own errors)."""
        start = self.source.rfind("\n", 0, self.offset) + 1
        end = self.source.find("\n", self.offset)
        first = max(start, self.offset - 60)
        shown = self.source[first : min(end if end >= 0 else len(self.source), self.offset + 60)].replace("\t", " ")
        return f" | {shown}\n | {'.' * (self.offset - first)}^"


class ConditionError(errors.TiphysError):
    """The expression is neither true nor false."""
