"""Results as streams send them: one JSON object a line, or server-sent events."""

from collections.abc import Iterable

import anyio.to_thread

from tiphys.server.gzipping import Piece

LARGE = 1 << 19
"""What takes longer to compress than the loop may be held."""


class Frame:
    """Bytes that are sent to many; compressed, and with what HTTP puts around a piece of an answer that goes on, once for all of them."""

    __slots__ = ("_chunk", "_piece", "_pressed_chunk", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._chunk = b""
        self._piece: Piece | None = None
        self._pressed_chunk = b""

    async def press(self) -> None:
        """Have it compressed; on a thread, where that takes long."""
        if self._piece is None and len(self.data) > LARGE:
            self._piece = await anyio.to_thread.run_sync(Piece, self.data)

    @property
    def piece(self) -> Piece:
        """It compressed."""
        if self._piece is None:
            self._piece = Piece(self.data)
        return self._piece

    def sent(self, *, pressed: bool, chunked: bool) -> bytes:
        """As it goes over the wire, `chunked` as in HTTP/1.1."""
        if not chunked:
            return self.piece.pressed if pressed else self.data
        if pressed:
            self._pressed_chunk = self._pressed_chunk or _chunk(self.piece.pressed)
            return self._pressed_chunk
        self._chunk = self._chunk or _chunk(self.data)
        return self._chunk


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


NOTHING = Frame(b"")


def framed(results: Iterable[bytes], *, events: bool) -> bytes:
    """Results as they are sent."""
    before, after = (b'data: {"result":', b"}\n\n") if events else (b'{"result":', b"}\n")
    found = (after + before).join(results)
    return before + found + after if found else b""


def frame(text: bytes, *, events: bool) -> bytes:
    """One of them."""
    return b"data: " + text + b"\n\n" if events else text + b"\n"
