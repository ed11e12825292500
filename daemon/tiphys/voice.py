"""A logger that costs nothing until it says something: importing structlog takes longer than starting many a step."""

from typing import Any


class Voice:
    """What `structlog.get_logger()` gives, imported when it is first used."""

    def __getattr__(self, name: str) -> Any:
        """A method of the logger."""
        import structlog  # noqa: PLC0415 - the point of this module

        return getattr(structlog.get_logger(), name)
