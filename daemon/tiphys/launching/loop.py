"""The event loop: descriptors that are waited for, and timers."""

import heapq
import os
import select
import time
from collections.abc import Callable

IDLE_SECONDS = 60.0


class Loop:
    """Who waits for which descriptor, and for what time."""

    def __init__(self) -> None:
        self.poll = select.epoll()
        self.by_fd: dict[int, Callable[[int], None]] = {}
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.ticket = 0

    def watch(self, fd: int, react: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        """Call `react` with the events of `fd`."""
        self.by_fd[fd] = react
        self.poll.register(fd, events)

    def forget(self, fd: int) -> None:
        """Wait for `fd` no more."""
        if self.by_fd.pop(fd, None):
            self.poll.unregister(fd)

    def unwatch(self, fd: int) -> None:
        """Forget and close `fd`."""
        self.forget(fd)
        os.close(fd)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` after a while."""
        self.ticket += 1
        heapq.heappush(self.timers, (time.monotonic() + max(seconds, 0.0), self.ticket, act))

    def react(self, most_seconds: float) -> None:
        """Wait until something comes, at most so long, and have it dealt with."""
        wait = IDLE_SECONDS if not self.timers else max(self.timers[0][0] - time.monotonic(), 0.0)
        for fd, events in self.poll.poll(min(wait, most_seconds)):
            if react := self.by_fd.get(fd):
                react(events)

    def expire(self) -> None:
        """Do what is due."""
        while self.timers and self.timers[0][0] <= time.monotonic():
            heapq.heappop(self.timers)[2]()
