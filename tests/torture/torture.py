"""`make torture`: kill real daemons thousands of times and judge what is left.

TORTURE_MINUTES (10), TORTURE_SEED (chance), TORTURE_KILLS (as many as the minutes allow), TORTURE_DAEMONS (one for each core).
"""

import json
import os
import random
import statistics
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from tests.torture.world import Figures, Plan, run

KILLS_A_WORLD = 120
END_SECONDS = 45.0


def plan(seed: str, kills: int, until: float) -> Plan:
    """What the world of a seed is like: one in four is isolated, one in five loses its launcher now and then."""
    number = int(seed.rsplit("-", 1)[1])
    return Plan(
        seed=seed,
        kills=kills,
        isolation="full" if number % 4 == 3 and os.geteuid() == 0 else "none",
        launchers=number % 5 == 4,
        sweep=number % 3 == 0,
        until=until,
    )


def torture(seed: str, minutes: float, kills: int, daemons: int) -> Figures:
    """World after world, some at a time, until there were enough kills or the time is over."""
    total, until = Figures(), time.monotonic() + minutes * 60 - END_SECONDS
    begun = number = 0
    going: set[Future[Figures]] = set()
    with ProcessPoolExecutor(daemons) as pool:
        while True:
            while len(going) < daemons and begun < kills and time.monotonic() < until:
                share = min(KILLS_A_WORLD, kills - begun)
                going.add(pool.submit(run, plan(f"{seed}-{number}", share, until)))
                begun, number = begun + share, number + 1
            if not going:
                return total
            done, going = wait(going, return_when=FIRST_COMPLETED)
            for one in done:
                total.add(one.result())
            print(f"{total.kills.total()} kills, {len(total.violations)} violations", flush=True)
            for text in (text for one in done for text in one.result().violations):
                print(f"VIOLATION {text}", flush=True)


def table(figures: Figures) -> str:
    """The figures, for people."""
    lines = [f"{'kills':<44}{figures.kills.total():>8}"]
    lines += [f"  {name:<42}{count:>8}" for name, count in sorted(figures.kills.items())]
    lines += [f"{name:<44}{count:>8}" for name, count in figures.counts.items()]
    if seconds := sorted(figures.ready_seconds):
        for name, value in (
            ("median", statistics.median(seconds)),
            ("99th of 100", seconds[len(seconds) * 99 // 100]),
            ("most", seconds[-1]),
        ):
            lines.append(f"{f'seconds until ready, {name}':<44}{value:>8.2f}")
    return "\n".join([*lines, f"{'violations':<44}{len(figures.violations):>8}"])


def main() -> int:
    """Do it, as the environment says."""
    seed = os.environ.get("TORTURE_SEED") or str(random.SystemRandom().randrange(10**6))
    minutes = float(os.environ.get("TORTURE_MINUTES") or 10)
    kills = int(os.environ.get("TORTURE_KILLS") or 10**9)
    daemons = int(os.environ.get("TORTURE_DAEMONS") or len(os.sched_getaffinity(0)))
    print(f"TORTURE_SEED={seed} TORTURE_MINUTES={minutes:g} TORTURE_KILLS={kills} TORTURE_DAEMONS={daemons}", flush=True)
    figures = torture(seed, minutes, kills, daemons)
    print(table(figures))
    counted = {"seed": seed, "kills": figures.kills, "counts": figures.counts, "violations": figures.violations}
    counted["ready_seconds_median"] = statistics.median(figures.ready_seconds) if figures.ready_seconds else None
    print(json.dumps(counted))
    for text in figures.violations:
        print(f"VIOLATION {text}")
    return 1 if figures.violations else 0


if __name__ == "__main__":
    sys.exit(main())
