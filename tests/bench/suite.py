"""`make bench`: every line of the targets, measured in turns with its limit, and one table at the end.

    python -m tests.bench.suite [--quick] [--peers] [--only NAME,NAME] [--report FILE]

--quick: about a minute, less work and two rounds. --peers: environments with other tools are made, and they do the same work. The
bench `growth` (cost for a node as workflows grow, beside other tools; plot.py draws it) takes a quarter of an hour: it runs when named.
The exit code is 0 whatever was measured (a busy machine is no failing build), and 1 where something could not be.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.bench import growth, large, measured, peers, subject, works

WORKS = {**works.WORKS, "large": large.large, "growth": growth.growth}
BESIDES = ("bench_journal", "bench_fan_out", "bench_drop", "bench_followers")
"""Benches that print figures of their own, without a target."""


def machine() -> dict[str, object]:
    """Where this was measured."""
    cpu = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=works.TOP).stdout.strip()
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load": os.getloadavg()[0],
    }


def main() -> int:
    """Measure, print, write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--only", default="", help=f"some of {', '.join(WORKS)}")
    parser.add_argument("--report", type=Path, default=Path("bench.json"), help="the JSON report (bench.json)")
    chosen = parser.parse_args()
    wanted = [name for name in chosen.only.split(",") if name] or [*works.WORKS, "large"]
    where = machine()
    failed: list[str] = []
    print("  ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as top:
        folder = Path(top)
        subject.prepare(folder / "bytecode")
        programs = [subject.compiled(source, folder) for source in ("limit.c", "stamp.c")]
        if programs[0] is None:
            print("this machine has no C compiler: the limits of launching are not measured")
        bench = works.Bench(quick=chosen.quick, peers=chosen.peers, folder=folder, limit_program=programs[0], stamp_program=programs[1])
        for name in wanted:
            before, began = len(bench.rows), time.monotonic()
            try:
                WORKS[name](bench)
            except Exception:  # noqa: BLE001 - one bench that fails hides no other's figures
                traceback.print_exc()
                failed.append(name)
                bench.rows = [row for row in bench.rows if row.rounds]
            print(f"\n== {name} ({time.monotonic() - began:.0f} s)\n{measured.table(bench.rows[before:])}", flush=True)
        if chosen.peers and "growth" not in wanted:
            bench.rows += peers.rows(bench)
        if not chosen.quick and not chosen.only:
            for script in BESIDES:
                print(f"\n== {script}", flush=True)
                subprocess.run([sys.executable, "-m", f"tests.bench.{script}"], check=False, cwd=works.TOP)
    measured.write(bench.rows, where, chosen.report)
    missed = [row.name for row in bench.rows if row.met is False]
    print(f"\n{measured.table(bench.rows)}\n\nreport: {chosen.report}")
    print(f"targets missed: {', '.join(dict.fromkeys(missed)) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
