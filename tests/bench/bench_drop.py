"""Many files dropped at once: how long until all are accepted, and how fast the daemon answers control commands meanwhile.

FILES (10,000) workflow files of one step each come into the drop folder by rename, as fast as that goes; a client on the Unix socket asks
one thing after another until all of them are accepted.
"""

import http.client
import json
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.daemon.running import Tiphysd, until

FILES = int(os.environ.get("FILES", "10000"))
WORKFLOW = """apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: f%d}
spec: {entrypoint: main, templates: [{name: main, container: {image: busybox, command: ["true"]}}]}
"""
ASKED = (
    "/healthz",
    "/api/v1/version",
    "/api/v1/workflows/default?listOptions.limit=20&fields=items.metadata.name",
    "/api/v1/workflows/default/f0",
)


class Connection(http.client.HTTPConnection):
    """HTTP over the daemon's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def ask(path: Path, over: threading.Event, taken: list[tuple[float, str]]) -> None:
    """Ask one thing after another, noting how long each answer took."""
    while not over.is_set():
        for what in ASKED:
            began = time.perf_counter()
            connection = Connection(path)
            connection.request("GET", what)
            connection.getresponse().read()
            connection.close()
            taken.append((time.perf_counter() - began, what))
            time.sleep(0.005)


def main() -> int:
    """Print how it went."""
    with tempfile.TemporaryDirectory() as top:
        daemon = Tiphysd(top=Path(top))
        daemon.settings = {"daemon": {"log_level": "warning"}}
        daemon.configure()
        try:
            daemon.start(ready=False)
            until(lambda: daemon.socket.exists() and (daemon.dropped / "accepted").exists(), "the daemon", 30)
            beside = daemon.dropped / ".beside"
            beside.mkdir()
            for number in range(FILES):
                (beside / f"f{number}.yaml").write_text(WORKFLOW % number)
            taken: list[tuple[float, str]] = []
            over = threading.Event()
            asking = threading.Thread(target=ask, args=(daemon.socket, over, taken))
            began = time.monotonic()
            asking.start()
            for number in range(FILES):
                (beside / f"f{number}.yaml").rename(daemon.dropped / f"f{number}.yaml")
            dropped = time.monotonic() - began
            accepted = daemon.dropped / "accepted"
            until(lambda: sum(1 for _ in os.scandir(accepted)) == FILES, "all of them accepted", 300)
            seconds = time.monotonic() - began
            over.set()
            asking.join()
            names = sorted(run.name for run in daemon.runs())
            assert names == sorted(f"f{number}" for number in range(FILES)), "each exactly once"
            times = sorted(one for one, _ in taken)
            at = {share: round(1000 * times[min(len(times) - 1, int(share * len(times)))], 1) for share in (0.5, 0.9, 0.99)}
            print(f"{FILES} files dropped in {dropped:.1f} s, accepted exactly once each in {seconds:.1f} s ({FILES / seconds:.0f}/s)")
            shares = ", ".join(f"p{round(100 * share)} {value} ms" for share, value in at.items())
            print(f"{len(times)} control commands meanwhile: {shares}, most {1000 * times[-1]:.0f} ms")
            print(json.dumps({"files": FILES, "seconds": seconds, "p99_ms": at[0.99], "most_ms": 1000 * times[-1]}))
        finally:
            daemon.clear()
    return 0


if __name__ == "__main__":
    sys.exit(main())
