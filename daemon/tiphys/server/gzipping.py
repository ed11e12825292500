"""One compression for many streams: pieces that stand in any gzip stream, whatever came before them there.

Each piece is compressed for itself and ends with a full flush, so that streams are headers, pieces one after another, and an end. Only the
check sum in that end depends on all that was sent; it is combined from those of the pieces (polynomials over GF(2), RFC 1952 and 1951).
"""

import struct
import zlib
from dataclasses import dataclass

LEVEL = 1
"""JSON of nodes shrinks to a fifteenth at once; more effort gains little."""

HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
POLYNOMIAL = 0xEDB88320
ONE, X = 1 << 31, 1 << 30


class Piece:
    """Data as a part of any gzip stream."""

    __slots__ = ("_checked", "_factor", "crc", "pressed", "size")

    def __init__(self, data: bytes) -> None:
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self.pressed = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
        self.crc = zlib.crc32(data)
        self.size = len(data)
        self._factor = 0
        self._checked = (0, self.crc)

    def after(self, crc: int) -> int:
        """The check sum of what had that one and this behind it. Streams that are told the same ask the same."""
        if self._checked[0] != crc:
            self._factor = self._factor or _power(8 * self.size)
            self._checked = (crc, _times(self._factor, crc) ^ self.crc)
        return self._checked[1]


@dataclass(slots=True)
class Sum:
    """What was sent of one stream."""

    crc: int = 0
    size: int = 0

    def add(self, piece: Piece) -> None:
        """A piece more."""
        self.crc = piece.after(self.crc)
        self.size += piece.size

    def end(self) -> bytes:
        """What ends the stream."""
        return b"\x03\x00" + struct.pack("<II", self.crc, self.size & 0xFFFFFFFF)


def accepted(header: str) -> bool:
    """Whether an Accept-Encoding header admits gzip."""
    for part in header.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() in {"gzip", "x-gzip"}:
            name, _, value = parameters.strip().partition("=")
            return not (name == "q" and value.strip("0. ") == "")
    return False


def _times(a: int, b: int) -> int:
    """The product of two polynomials modulo that of CRC-32; the highest bit is the lowest power."""
    product, bit = 0, ONE
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ POLYNOMIAL if b & 1 else b >> 1
    return product


def _power(bits: int) -> int:
    """The power `bits` of x: what it does to a check sum when so many bits come behind it."""
    found, square = ONE, X
    while bits:
        if bits & 1:
            found = _times(square, found)
        square = _times(square, square)
        bits >>= 1
    return found
