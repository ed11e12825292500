"""A file's bytes, and where its lines are: positions of the YAML parser become offsets, and offsets become excerpts."""

import codecs
import itertools
import re

BREAK = re.compile(rb"\r\n|[\r\n]|\xc2\x85|\xe2\x80[\xa8\xa9]")
"""What the YAML parser counts as a line's end."""

MAX_LINE = 1 << 16
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Source:
    """The bytes of one file, as UTF-8 without a byte order mark. Lines count from 1."""

    def __init__(self, data: bytes, file: str) -> None:
        self.file = file
        self.data = _utf8(data)
        self._line = 1
        self._offset = 0

    def offset(self, line: int) -> int:
        """Where `line` begins; the end of the file where it has fewer. Cheap for lines in rising order."""
        if line < self._line:
            self._line, self._offset = 1, 0
        if line > self._line:
            breaks = BREAK.finditer(self.data, self._offset)
            last = next(itertools.islice(breaks, line - self._line - 1, None), None)
            if last is None:
                return len(self.data)
            self._line, self._offset = line, last.end()
        return self._offset

    def excerpt(self, line: int) -> str:
        """The text of `line`, made safe to print; "" where there is none."""
        if line < 1:
            return ""
        start = self.offset(line)
        found = BREAK.search(self.data, start, start + MAX_LINE)
        text = self.data[start : found.start() if found else start + MAX_LINE].decode("utf-8", "replace")
        return "".join(letter if letter == "\t" or letter.isprintable() else "\ufffd" for letter in text)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a byte, both from 1."""
        line, start = 1, 0
        for line_break in BREAK.finditer(self.data, 0, offset):
            line, start = line + 1, line_break.end()
        return line, len(self.data[start:offset].decode("utf-8", "replace")) + 1

    def at(self, line: int, column: int, length: int = 2) -> str:
        """The `length` letters that stand at a position."""
        start = self.offset(line)
        return self.data[start : start + MAX_LINE].decode("utf-8", "replace")[column - 1 : column - 1 + length]


def _utf8(data: bytes) -> bytes:
    """`data` as UTF-8: marks of byte order are followed and dropped; what cannot be decoded stays and is refused by the parser."""
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    if data.startswith(UTF16):
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError:
            return data
    return data
