"""Lints files in a process of its own, as the tests of broken manifests need it: findings and peak memory as JSON lines.

`python tests/manifests/judge.py hostile NAME…` or `… file PATH…`.
"""

import json
import runpy
import sys
import time
from pathlib import Path

from tiphys import manifests, settings

BROKEN = Path(__file__).resolve().parent.parent / "broken"


def peak_megabytes() -> float:
    """This process's own high-water mark: getrusage would count the parent's, from before the exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    kind, *names = sys.argv[1:]
    hostile = runpy.run_path(str(BROKEN / "hostile.py"))["FILES"] if kind == "hostile" else {}
    for name in names:
        data = hostile[name]() if kind == "hostile" else Path(name).read_bytes()
        start = time.perf_counter()
        report = manifests.lint([(name, data)], limits=settings.LimitSettings())
        seconds = time.perf_counter() - start
        for diagnostic in report.diagnostics:
            manifests.render(diagnostic).encode()
        findings = [[item.severity, item.line, item.column, item.message] for item in report.diagnostics]
        print(json.dumps({"name": name, "ok": report.ok, "findings": findings, "peak": peak_megabytes(), "seconds": seconds}))


if __name__ == "__main__":
    main()
