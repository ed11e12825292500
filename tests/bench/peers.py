"""Other tools at the same work: programs that do nothing, eight at a time, and what each of them keeps of that.

Those that Python's index has get an environment each, in `$XDG_CACHE_HOME/tiphys-peers` (`~/.cache`), where the next run finds it. What
cannot be installed, or does not do the work, is named and left out.
"""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measured import Row

if TYPE_CHECKING:
    from tests.bench.works import Bench

PATIENCE_SECONDS = 300.0
INSTALL_SECONDS = 600.0
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What it `keeps` of each step and how durably; `needs`: what pip is asked for; `fewer`: slow, so the work is divided by it."""

    keeps: str
    needs: tuple[str, ...] = ()
    fewer: int = 1


PEERS = {
    "make": Peer(keeps="nothing"),
    "ninja": Peer(keeps="a line of its log, not synced"),
    "xargs": Peer(keeps="nothing"),
    "parallel": Peer(keeps="nothing"),
    "doit": Peer(keeps="what was done, in one file at the end", needs=("doit",)),
    "luigi": Peer(keeps="an empty file, not synced", needs=("luigi",)),
    "snakemake": Peer(keeps="the output and a record, a file each, not synced", needs=("snakemake",), fewer=5),
    "dbos": Peer(keeps="the output, in a row of SQLite committed by itself, journal_mode=DELETE, synchronous=FULL", needs=("dbos",)),
    # Newer ones of fastapi refuse a parameter that it uses.
    "prefect": Peer(
        keeps="states in rows of its server's SQLite, synchronous=NORMAL; the output in a file, not synced",
        needs=("prefect", "fastapi<0.140"),
        fewer=10,
    ),
}
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
SNAKEFILE = """
rule all:
    input: expand("made/{{number}}", number=range({count}))
rule one:
    output: "made/{{number}}"
    shell: "/bin/true > {{output}}"
"""


def rows(bench: "Bench") -> list[Row]:
    """A line for each tool that is here, or can be installed."""
    whole = bench.size(1000, 200)
    found = []
    for name, peer in PEERS.items():
        count = whole // peer.fewer
        way = {**system_ways(bench.folder, count), **python_ways(bench.folder, count, name)}.get(name)
        if way is None:
            continue
        row = Row(name=f"peer: {name}", work=f"{count} × true, P=8", unit="/s", limited_by="C posix_spawn", note=f"keeps {peer.keeps}")
        try:
            for _ in range(1 if bench.quick else 3):
                began = time.perf_counter()
                way()
                taken = time.perf_counter() - began
                limit = bench.spawn_limit(count, 8, "/bin/true")
                row.add(count / taken, None if limit is None else count / limit)
        except subprocess.SubprocessError as error:
            print(f"{name} is left out: {error}", flush=True)
            continue
        print(f"{name} {version(name)}: {row.work}, keeps {peer.keeps}", flush=True)
        found.append(row)
    return found


def version(name: str) -> str:
    """What it says of itself, or pip of it."""
    argv = [name, "--version"]
    if PEERS[name].needs:
        argv = [str(place(name) / "bin/python"), "-c", f"import importlib.metadata as its; print(its.version({name!r}))"]
    told = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout
    return told.partition("\n")[0].strip()


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


def patiently(argv: list[str], folder: Path, given: bytes | None = None, env: dict[str, str] | None = None) -> None:
    """Have a tool do its work; one that takes too long ends with all that it started. Raises subprocess.SubprocessError."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE if given else quiet,
        stdout=quiet,
        stderr=quiet,
        cwd=folder,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    ) as made:
        try:
            made.communicate(given, timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(made.pid, signal.SIGKILL)
            raise
    if made.returncode:
        raise subprocess.CalledProcessError(made.returncode, argv)


def python_ways(folder: Path, count: int, *names: str) -> dict[str, Callable[[], object]]:
    """Tools of Python's index (these, or all), each in an environment made for it."""
    wanted = [name for name, peer in PEERS.items() if peer.needs and name in (names or PEERS)]
    return {name: getattr(sys.modules[__name__], name)(place(name), folder, count) for name in wanted if installed(name)}


def place(name: str) -> Path:
    """The environment of a tool."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiphys-peers" / name


@functools.cache
def installed(name: str) -> bool:
    """Whether it is there, after an attempt to install what is missing."""
    home = place(name)
    try:
        if not (home / "bin/pip").exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True, timeout=INSTALL_SECONDS)
        argv = [str(home / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *PEERS[name].needs]
        subprocess.run(argv, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        print(f"{name} cannot be installed here: {said[-1] if said else 'no reason given'}", flush=True)
        return False
    return True


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
    made = folder / "luigi-targets"
    (folder / "many.py").write_text(LUIGI.format(count=count, folder=made), encoding="utf-8")

    def run() -> None:
        fresh(made)
        patiently([str(home / "bin/python"), "many.py"], folder)

    return run


def snakemake(home: Path, folder: Path, count: int) -> Callable[[], object]:
    """Snakemake's jobs, whose outputs are files."""
    made = folder / "snakemake"
    script = SNAKEFILE.format(count=count)
    argv = [str(home / "bin/snakemake"), "--cores", "8", "--quiet", "all"]

    def run() -> None:
        (fresh(made) / "Snakefile").write_text(script, encoding="utf-8")
        patiently(argv, made, env={"XDG_CACHE_HOME": str(made), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"})

    return run


def dbos(home: Path, folder: Path, count: int) -> Callable[[], object]:
    """DBOS's steps, of one durable workflow."""
    made = folder / "dbos"
    return lambda: patiently([str(home / "bin/python"), str(HERE / "peer_dbos.py"), str(count)], fresh(made))


def prefect(home: Path, folder: Path, count: int) -> Callable[[], object]:
    """Prefect's tasks, of one flow, with the server that it starts by itself."""
    made = folder / "prefect"
    env = {
        "PREFECT_HOME": str(made),
        "PREFECT_API_URL": "",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
    }
    return lambda: patiently([str(home / "bin/python"), str(HERE / "peer_prefect.py"), str(count)], fresh(made), env=env)


def fresh(folder: Path) -> Path:
    """An empty folder in its place."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
