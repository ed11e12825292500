"""The error inside this package: a reason, and a place as soon as somebody on the way up knows it."""


class Fault(Exception):
    """Evaluation or parsing cannot go on; becomes an ExpressionError at the border."""

    def __init__(self, reason: str, at: int = -1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at

    def placed(self, at: int) -> "Fault":
        """The same fault, at `at` unless a deeper part has placed it already."""
        if self.at < 0:
            self.at = at
        return self
