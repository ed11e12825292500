"""What a step prints, in a file of bounded size."""

import contextlib
import os

from tiphys.launching import kernel

WRITE_LOG = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Capture:
    """A file that keeps the last `limit` bytes written to it: what is over is punched out of its front, offsets stay."""

    __slots__ = ("fd", "limit", "lines", "path", "size", "start")

    def __init__(self, path: str, limit: int) -> None:
        self.path, self.limit, self.fd = path, limit, -1
        self.size = self.start = self.lines = 0

    def write(self, data: bytes) -> None:
        """Append; the file is made by the first write. A full disk loses output, never the step."""
        try:
            if self.fd < 0:
                self.fd = os.open(self.path, WRITE_LOG, 0o600)
                self.size = os.fstat(self.fd).st_size
            view = memoryview(data)
            while view:
                view = view[os.write(self.fd, view) :]
            self.size += len(data)
            self.lines += data.count(b"\n")
        except OSError:
            return
        if self.size - self.start > self.limit + self.limit // 4:
            cut = (self.size - self.limit) & ~4095
            if kernel.punch_front(self.fd, cut):
                self.start = cut

    def tail(self, count: int) -> bytes:
        """The last `count` bytes."""
        if self.fd < 0 and not os.path.exists(self.path):
            return b""
        if self.fd < 0:
            self.fd = os.open(self.path, WRITE_LOG, 0o600)
            self.size = os.fstat(self.fd).st_size
        count = min(count, self.size - self.start)
        return os.pread(self.fd, count, self.size - count)

    def cut(self, count: int) -> None:
        """Take `count` bytes off the end."""
        if self.fd >= 0:
            self.size -= count
            os.ftruncate(self.fd, self.size)

    def close(self, *, remove: bool) -> None:
        """Close the file, and delete it where asked."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            if remove:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
