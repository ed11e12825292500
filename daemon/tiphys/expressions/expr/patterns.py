"""Regular expressions: RE2, as Go's; hostile patterns cost linear time.

The library is imported with the first pattern: most runs have none, and it takes 2.5 MB of memory.
"""

import functools
from typing import TYPE_CHECKING

from tiphys.expressions.expr import limits
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.runs import Run

if TYPE_CHECKING:
    import re2


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> "re2._Regexp":
    if len(pattern) > limits.MAX_PATTERN:
        reason = f"error parsing regexp: the pattern is longer than {limits.MAX_PATTERN} characters"
        raise Fault(reason)
    import re2  # noqa: PLC0415 - as the first lines say

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 4 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        detail = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        reason = f"error parsing regexp: {detail}: `{pattern}`"
        raise Fault(reason) from None


def check(pattern: str) -> None:
    """Raises Fault when the pattern is not one."""
    _compiled(pattern)


def compiled(run: Run, pattern: str, text: str) -> "re2._Regexp":
    """The pattern, ready to be matched against `text`, whose length is counted as work; raises Fault."""
    run.copied(len(text) + 16 * len(pattern))
    return _compiled(pattern)


def search(run: Run, pattern: str, text: str) -> bool:
    """Whether the pattern matches somewhere in the text."""
    return compiled(run, pattern, text).search(text) is not None
