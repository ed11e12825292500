"""A logger that costs nothing until it says something: importing structlog takes longer than starting many a step."""

import sys
from typing import Any


class Voice:
    """What `structlog.get_logger()` gives, imported when it is first used.

    Where nobody has set the form of log lines (a foreground run), warnings go to stderr, and less is not said: stdout is the result's.
    """

    def __getattr__(self, name: str) -> Any:
        """A method of the logger."""
        import logging  # noqa: PLC0415 - the point of this module

        import structlog  # noqa: PLC0415

        if structlog.is_configured():
            return getattr(structlog.get_logger(), name)
        warnings = structlog.make_filtering_bound_logger(logging.WARNING)
        return getattr(structlog.wrap_logger(structlog.PrintLogger(sys.stderr), wrapper_class=warnings), name)
