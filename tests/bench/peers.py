"""Other tools at the same work: 1,000 programs that do nothing, eight at a time. Those that Python's index has go into an environment
of their own."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measured import Row

if TYPE_CHECKING:
    from tests.bench.works import Bench

INSTALLED = ("doit", "luigi")
PATIENCE_SECONDS = 300.0
DOIT = """
def task_each():
    for number in range({count}):
        yield {{"name": str(number), "actions": [["/bin/true"]]}}
"""
LUIGI = """
import luigi, subprocess

class One(luigi.Task):
    number = luigi.IntParameter()
    done = False
    def run(self):
        subprocess.run(["/bin/true"], check=True)
        open(f"{folder}/{{self.number}}", "w").close()
    def output(self):
        return luigi.LocalTarget(f"{folder}/{{self.number}}")

if __name__ == "__main__":
    luigi.build([One(number=number) for number in range({count})], workers=8, local_scheduler=True, log_level="ERROR")
"""


def rows(bench: "Bench") -> list[Row]:
    """A line for each tool that is here, or can be installed."""
    count = bench.size(1000, 200)
    ways = {**system_ways(bench.folder, count), **python_ways(bench.folder, count)}
    found = []
    for name, way in ways.items():
        row = Row(name=f"peer: {name}", work=f"{count} × true, P=8", unit="/s", limited_by="C posix_spawn")
        for _ in range(1 if bench.quick else 3):
            began = time.perf_counter()
            way()
            limit = bench.spawn_limit(count, 8, "/bin/true")
            taken = time.perf_counter() - began - (limit or 0.0)
            row.add(count / taken, None if limit is None else count / limit)
        found.append(row)
    return found


def system_ways(folder: Path, count: int) -> dict[str, Callable[[], object]]:
    """Tools of the system, as far as they are there."""
    targets = " ".join(f"t{number}" for number in range(count))
    (folder / "Makefile.peer").write_text(f"all: {targets}\n.PHONY: all {targets}\n{targets}:\n\t@true\n", encoding="utf-8")
    ninja = "rule true\n command = true\n" + "".join(f"build t{number}: true\n" for number in range(count))
    (folder / "build.ninja").write_text(ninja, encoding="utf-8")
    numbers = "\n".join(map(str, range(count))).encode()
    commands = {
        "make": (["make", "-s", "-j8", "-f", "Makefile.peer"], None),
        "ninja": (["ninja", "--quiet", "-j8"], None),
        "xargs": (["xargs", "-P8", "-n1", "true"], numbers),
        "parallel": (["parallel", "-j8", "true"], numbers),
    }

    def run(argv: list[str], given: bytes | None) -> None:
        (folder / ".ninja_log").unlink(missing_ok=True)
        patiently(argv, folder, given)

    return {
        name: (lambda argv=argv, given=given: run(argv, given))  # type: ignore[misc] # bound names
        for name, (argv, given) in commands.items()
        if shutil.which(argv[0])
    }


def patiently(argv: list[str], folder: Path, given: bytes | None = None) -> None:
    """Have a tool do its work; one that takes too long ends with all that it started. Raises subprocess.SubprocessError."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE if given else quiet, stdout=quiet, stderr=quiet, cwd=folder, start_new_session=True
    ) as made:
        try:
            made.communicate(given, timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(made.pid, signal.SIGKILL)
            raise
    if made.returncode:
        raise subprocess.CalledProcessError(made.returncode, argv)


def python_ways(folder: Path, count: int) -> dict[str, Callable[[], object]]:
    """Tools of Python's index, in an environment made for them."""
    return {name: getattr(sys.modules[__name__], name)(folder / "peers", folder, count) for name in installed(folder / "peers")}


@functools.cache
def installed(home: Path) -> tuple[str, ...]:
    """Those that can be installed, once they are."""
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    found = []
    for name in INSTALLED:
        made = subprocess.run([str(home / "bin/pip"), "install", "--quiet", name], capture_output=True, check=False)
        if made.returncode:
            print(f"{name} cannot be installed here")
            continue
        found.append(name)
    return tuple(found)


def doit(home: Path, folder: Path, count: int) -> Callable[[], object]:
    """Doit's tasks."""
    (folder / "dodo.py").write_text(DOIT.format(count=count), encoding="utf-8")

    def run() -> None:
        (folder / ".doit.db").unlink(missing_ok=True)
        argv = [str(home / "bin/doit"), "-n8", "-P", "thread", "-f", "dodo.py", "--db-file", ".doit.db"]
        patiently(argv, folder)

    return run


def luigi(home: Path, folder: Path, count: int) -> Callable[[], object]:
    """Luigi's tasks, whose targets are files."""
    place = folder / "luigi-targets"
    (folder / "many.py").write_text(LUIGI.format(count=count, folder=place), encoding="utf-8")

    def run() -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        patiently([str(home / "bin/python"), "many.py"], folder)

    return run
