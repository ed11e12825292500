"""What two hundred followers cost the daemon while a workflow of a thousand nodes runs, and that they miss nothing.

One real daemon with the process executor; per round the same workflow runs once alone and once followed: a third of the followers watch
workflows, a third follow the log, a third the event log, all in a process of their own. Measured is the daemon's own CPU time, from the
moment the workflow goes on until everybody has seen its end (connecting and hanging up are no cost of a node).

    python -m tests.bench.bench_followers [--nodes 1000] [--followers 200] [--rounds 3] [--plain]
"""

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import msgspec

from tests.daemon.running import Tiphysd, until
from tiphys.cli.client import Client
from tiphys.cli.reaching import Socket

BASE = "http://localhost/api/v1"
MOST_RISE = 0.25
MOST_A_SECOND = 5
MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: NAME}
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - [{name: wait, template: wait}]
        - [{name: each, template: echo, arguments: {parameters: [{name: text, value: "{{item}}"}]}, withSequence: {count: "NODES"}}]
    - {name: wait, suspend: {}}
    - name: echo
      inputs: {parameters: [{name: text}]}
      container: {image: any, command: [echo], args: ["said {{inputs.parameters.text}}"]}
"""


class _Status(msgspec.Struct, frozen=True):
    phase: str = ""


class _Object(msgspec.Struct, frozen=True):
    status: _Status = _Status()


class _Result(msgspec.Struct, frozen=True):
    object: _Object = _Object()


class _Line(msgspec.Struct, frozen=True):
    result: _Result


@dataclass(kw_only=True)
class Seen:
    """What the followers saw."""

    logs: list[list[bytes]] = field(default_factory=list)
    events: list[list[bytes]] = field(default_factory=list)
    watches: list[list[float]] = field(default_factory=list)
    last: list[bytes] = field(default_factory=list)


async def _follow(path: Path, name: str, kind: str, plain: bool, seen: Seen, begun: list[None], leave: anyio.Event) -> None:
    """One follower, on a connection of its own, to its end; it stays connected until all leave."""
    ways = {
        "log": (f"/workflows/default/{name}/log", {"logOptions.follow": "true"}),
        "events": (f"/workflows/default/{name}/event-log", {"follow": "true"}),
        "watch": ("/workflow-events/default", {"listOptions.fieldSelector": f"metadata.name={name}"}),
    }
    where, query = ways[kind]
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.UnixConnector(str(path))
    headers = {"Accept-Encoding": "identity" if plain else "gzip, deflate"}
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=1 << 22) as session,
        session.get(BASE + where, params=query, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert answer.headers.get("Content-Encoding", "identity") == ("identity" if plain else "gzip")
        begun.append(None)
        if kind == "watch":
            await _watch(answer, seen)
        else:
            lines = [line for line in (await answer.read()).splitlines() if line]
            (seen.events if kind == "events" else seen.logs).append(lines)
        await leave.wait()


async def _watch(answer: aiohttp.ClientResponse, seen: Seen) -> None:
    """Read until the workflow has ended; when each event came."""
    times, rest = [], bytearray()
    async for piece in answer.content.iter_any():
        rest += piece
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            if not line:
                continue
            times.append(time.monotonic())
            if msgspec.json.decode(line, type=_Line).result.object.status.phase == "Succeeded":
                seen.watches.append(times)
                seen.last.append(line)
                return


async def _followers(path: Path, name: str, count: int, plain: bool, told: multiprocessing.connection.Connection) -> None:
    seen = Seen()
    begun: list[None] = []
    leave = anyio.Event()
    async with anyio.create_task_group() as group:
        for index in range(count):
            group.start_soon(_follow, path, name, ("log", "events", "watch")[index % 3], plain, seen, begun, leave)
        while len(begun) < count:
            await anyio.sleep(0.02)
        told.send("begun")
        while len(seen.logs) + len(seen.events) + len(seen.last) < count:
            await anyio.sleep(0.02)
        told.send("ended")
        await anyio.to_thread.run_sync(told.recv)
        leave.set()
    told.send(_judged(path, name, seen))


def _judged(path: Path, name: str, seen: Seen) -> dict[str, Any]:
    """What the followers saw beside what there is."""
    client = Client(Socket(path))
    whole = [line for line in client.get(f"/workflows/default/{name}/event-log").splitlines() if line]
    contents = [sorted(json.loads(line)["result"]["content"] for line in lines) for lines in seen.logs]
    printed = sorted(json.loads(line)["result"]["content"] for line in client.get(f"/workflows/default/{name}/log").splitlines() if line)
    workflow = client.value(f"/workflows/default/{name}")
    gaps = [later - earlier for times in seen.watches for earlier, later in pairwise(times)]
    fastest = max(((len(times) - 1) / (times[-1] - times[0]) for times in seen.watches if len(times) > 1), default=0.0)
    return {
        "lines": len(printed),
        "logs": len(seen.logs),
        "logs_whole": sum(one == printed for one in contents),
        "events": len(whole),
        "event_logs": len(seen.events),
        "event_logs_whole": sum(one == whole for one in seen.events),
        "watches": len(seen.watches),
        "watches_last": sum(json.loads(one)["result"]["object"]["status"] == workflow["status"] for one in seen.last),
        "told_each": statistics.median(map(len, seen.watches)) if seen.watches else 0,
        "fastest": fastest,
        "longest_gap": max(gaps, default=0.0),
    }


def _clients(path: Path, name: str, count: int, plain: bool, told: multiprocessing.connection.Connection) -> None:
    anyio.run(_followers, path, name, count, plain, told)


def cpu(pid: int) -> float:
    """User and system time of a process so far, in seconds; threads that have ended are counted too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(daemon: Tiphysd, name: str, nodes: int, followers: int, plain: bool = False) -> tuple[float, float, dict[str, Any]]:
    """The daemon's CPU seconds and the wall seconds of one run with so many followers, and what these saw."""
    client = Client(Socket(daemon.socket))
    text = MANIFEST.replace("NAME", name).replace("NODES", str(nodes))
    client.post("/workflows/default", text.encode(), kind="application/yaml")
    process, told, seen = None, None, {}
    if followers:
        told, other = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_clients, args=(daemon.socket, name, followers, plain, other))
        process.start()
        assert told.poll(60)
        assert told.recv() == "begun"
        time.sleep(1.0)
    assert daemon.process is not None
    before, began = cpu(daemon.process.pid), time.monotonic()
    client.put(f"/workflows/default/{name}/resume", {})
    until(lambda: (run := daemon.run(name)) is not None and run.phase.completed, "the end", 300)
    wall = time.monotonic() - began
    if told is not None:
        assert told.poll(60), "some follower did not end"
        assert told.recv() == "ended"
    else:
        time.sleep(1.0)
    used = cpu(daemon.process.pid) - before
    if process is not None and told is not None:
        told.send("leave")
        seen = told.recv()
        process.join()
    client.delete(f"/workflows/default/{name}")
    until(lambda: daemon.run(name) is None, "its deletion")
    return used, wall, seen


def complete(seen: dict[str, Any], nodes: int) -> bool:
    """Whether nobody missed anything, and nobody was told too often."""
    return (
        seen["lines"] == nodes
        and seen["logs"] == seen["logs_whole"]
        and seen["event_logs"] == seen["event_logs_whole"]
        and seen["watches"] == seen["watches_last"]
        and seen["fastest"] <= MOST_A_SECOND + 0.1
    )


def main() -> int:
    """Measure in turns and print; 1 where something was missed or the rise is too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--followers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="clients that accept no compression, as curl; others, as aiohttp, do")
    chosen = parser.parse_args()
    missed, rises = False, []
    with tempfile.TemporaryDirectory(prefix="tiphys-followers-") as top:
        daemon = Tiphysd(top=Path(top))
        daemon.settings = {"daemon": {"log_level": "info"}}
        daemon.start()
        try:
            measure(daemon, "warm", 100, 0)
            for index in range(chosen.rounds):
                alone, quick, _ = measure(daemon, f"alone-{index}", chosen.nodes, 0)
                followed, slow, seen = measure(daemon, f"followed-{index}", chosen.nodes, chosen.followers, chosen.plain)
                rises.append(followed / alone - 1)
                missed = missed or not complete(seen, chosen.nodes)
                each = [1e3 * used / chosen.nodes for used in (alone, followed)]
                print(f"CPU a node {each[0]:.2f} ms alone ({quick:.1f} s), {each[1]:.2f} ms followed ({slow:.1f} s): {rises[-1]:+.0%}")
                print("  " + "  ".join(f"{key} {value:.4g}" for key, value in seen.items()), flush=True)
        finally:
            daemon.clear()
    rise = statistics.median(rises)
    print(f"median rise {rise:+.0%} (at most {MOST_RISE:+.0%}); {'SOMETHING WAS MISSED' if missed else 'nothing was missed'}")
    return 1 if missed or rise > MOST_RISE else 0


if __name__ == "__main__":
    sys.exit(main())
