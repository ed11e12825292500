"""Run the conformance corpus and judge what came out: every row passes, is skipped for a reason that counts, or is an argued exception.

    python tests/conformance/judged.py CORPUS [options of its runner]

A row that fails must be named in `tests/conformance-exceptions.yaml`, at most 2 % of the rows that ran may be. Rows marked flaky have
three tries. Exit code 0: all is as it should be.
"""

import fnmatch
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ACTING = Path(__file__).with_name("acting.py")
EXCEPTIONS = Path(__file__).parents[1] / "conformance-exceptions.yaml"
INDEX = "dev.jsonl"
MOST_EXCEPTIONS = 0.02
TRIES = 3
HAVE = ("memoize-configmap", "archive-logs", "workflow-defaults", "progress-file", "host-aliases")
"""Capabilities of ours that the runner does not know of by itself."""

GOOD_REASONS = (
    r"takes about \d+ s",
    r"needs artifact-repository-ref",  # the row's ConfigMap of repositories is the cluster's, not the file's
    r"needs huge",  # longer than a minute, or endless
    r"needs (path:.*|node|jq|debug-pause|dangerous)",  # what this machine lacks, or what would harm it
    r"confidence low",
)


def run(corpus: Path, options: list[str]) -> dict[str, dict]:
    """The runner's own report, by row id."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        have = [word for name in HAVE for word in ("--have", name)]
        subprocess.run([sys.executable, str(ACTING), str(corpus), "--isolated", *have, "--report", str(report), *options], check=False)
        return {row["id"]: row for row in json.loads(report.read_text())} if report.exists() else {}


def flaky(corpus: Path) -> set[str]:
    """Rows whose outcome is random."""
    rows = [json.loads(line) for line in (corpus / INDEX).read_text().splitlines() if line.strip()]
    return {row["id"] for row in rows if row.get("flaky")}


def tried_again(corpus: Path, rows: dict[str, dict], options: list[str]) -> None:
    """Give rows with a random outcome their other tries."""
    random = flaky(corpus)
    for _ in range(TRIES - 1):
        again = [name for name, row in rows.items() if row["result"] == "FAIL" and name in random]
        if again:
            wanted = [word for name in again for word in ("--id", name)]
            rows |= {name: row for name, row in run(corpus, [*options, *wanted]).items() if name in again}


def judge(rows: dict[str, dict], exceptions: dict[str, str]) -> list[str]:
    """What is not as it should be, one line each."""
    wrong = []
    ran = [row for row in rows.values() if row["result"] != "SKIP"]
    excused = [row["id"] for row in ran if row["result"] == "FAIL" and row["id"] in exceptions]
    for row in ran:
        if row["result"] == "FAIL" and row["id"] not in exceptions:
            wrong.append(f"{row['id']} fails, and is no argued exception")
        if row["result"] != "FAIL" and row["id"] in exceptions:
            wrong.append(f"{row['id']} passes: take it out of the exceptions")
    if len(excused) > MOST_EXCEPTIONS * len(ran):
        wrong.append(f"{len(excused)} of {len(ran)} rows are exceptions, {MOST_EXCEPTIONS:.0%} may be")
    idle = [row for row in rows.values() if row["result"] == "SKIP" and not any(re.fullmatch(good, why(row)) for good in GOOD_REASONS)]
    return wrong + [f"{row['id']} is skipped for no good reason: {why(row)}" for row in idle]


def why(row: dict) -> str:
    """Why a row was skipped."""
    return "; ".join(text for _, text in row["problems"])


def main(arguments: list[str]) -> int:
    """Run and judge; the exit code."""
    corpus, *options = arguments
    folder = Path(corpus).resolve()
    rows = run(folder, options)
    if not rows:
        print("the runner gave no report", file=sys.stderr)
        return 1
    tried_again(folder, rows, options)
    exceptions = yaml.safe_load(EXCEPTIONS.read_text()) or {}
    print("--- skipped, one by one")
    for name, row in sorted(rows.items(), key=lambda item: (why(item[1]), item[0])):
        if row["result"] == "SKIP":
            print(f"{name}: {why(row)}")
    print("--- argued exceptions")
    for name, reason in exceptions.items():
        if fnmatch.filter(rows, name):
            print(f"{name}: {' '.join(reason.split())}")
    wrong = judge(rows, exceptions)
    passed = sum(1 for row in rows.values() if row["result"] not in {"SKIP", "FAIL"})
    print(f"--- {passed} passed, {len(rows) - passed} skipped or excepted, {len(wrong)} not as they should be")
    for line in wrong:
        print(f"✖ {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
