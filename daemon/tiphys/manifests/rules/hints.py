"""The name somebody probably meant."""

from collections.abc import Iterable

MAX_KNOWN = 500
"""Comparing with more names than these would make a hint cost more than the check."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean "build"?` for the known name most like `name`; "" where none is like it."""
    candidates = [word for _, word in zip(range(MAX_KNOWN), known, strict=False)]
    import difflib  # noqa: PLC0415 - only mistakes pay for it

    close = difflib.get_close_matches(name[:200], candidates, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""
