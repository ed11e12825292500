"""Prefect at the peers' work, in its own environment: COUNT tasks of one flow, eight at a time, with results kept."""

import subprocess
import sys

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

COUNT = int(sys.argv[1])


@task(persist_result=True)
def one(number: int) -> str:
    return subprocess.run(["/bin/true"], check=True, capture_output=True, text=True).stdout


@flow(task_runner=ThreadPoolTaskRunner(max_workers=8))
def every() -> int:
    return len(one.map(range(COUNT)).result())


if __name__ == "__main__":
    sys.exit(0 if every() == COUNT else 1)
