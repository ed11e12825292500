"""Results as streams send them: one JSON object a line, or server-sent events."""

from collections.abc import Iterable


def framed(results: Iterable[bytes], *, events: bool) -> bytes:
    """Results as they are sent."""
    return b"".join([frame(b'{"result":' + result + b"}", events=events) for result in results])


def frame(text: bytes, *, events: bool) -> bytes:
    """One of them."""
    return b"data: " + text + b"\n\n" if events else text + b"\n"
