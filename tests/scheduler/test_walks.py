"""Random walks through the same world as `test_machine`: no shrinking, but a hundred a second, so they come further.

`TIPHYS_FUZZ_SECONDS=600 pytest tests/scheduler -k long` goes on for so long; a failure names its seed.
"""

import os
import random
import time

import pytest

from tests.scheduler import drawn
from tests.scheduler.driver import UID, Driver
from tests.scheduler.test_machine import KINDS, RESULTS
from tiphys.scheduler import events
from tiphys.spec import work
from tiphys.spec.status import Phase

SEEDS = 480
PARTS = 8
PHASES = [Phase.UNKNOWN, Phase.SUCCEEDED, Phase.FAILED, Phase.ERROR]
MOVES = {
    "run": 30,
    "start": 7,
    "exit": 8,
    "repeat": 3,
    "forge": 2,
    "fire": 10,
    "fire falsely": 3,
    "wait": 7,
    "crash": 12,
    "end": 2,
    "suspend": 6,
    "answer": 5,
    "retry": 3,
}


def walk(seed: int) -> None:
    """One drawn workflow, and whatever happens to it."""
    chance = random.Random(seed)
    driver = Driver(drawn.workflow(chance.getrandbits(32)))
    for _ in range(chance.randint(5, 80)):
        _move(chance, driver, chance.choices(list(MOVES), list(MOVES.values()))[0])
    driver.finish()


def _move(chance: random.Random, driver: Driver, move: str) -> None:
    live = list(driver.live)
    nodes = list(driver.run.nodes.values())
    match move:
        case "run" if live:
            key = chance.choice(live)
            driver.start(key)
            driver.exit(key, _outcome(chance))
        case "start" if live:
            driver.start(chance.choice(live))
        case "exit" if live:
            driver.exit(chance.choice(live), _outcome(chance))
        case "repeat" if driver.reported:
            driver.take(chance.choice(driver.reported))
        case "forge" if nodes:
            node = chance.choice(nodes)
            attempt = node.attempt + chance.randint(1, 3)
            assert not driver.take(events.Exited(at=driver.now, uid=UID, node_id=node.id, attempt=attempt, outcome=_outcome(chance)))
        case "fire" if driver.timers:
            driver.fire()
        case "fire falsely":
            driver.take(events.TimerFired(at=driver.now, uid=UID, key=chance.choice([*driver.run.nodes, "", "nobody"])))
        case "wait":
            driver.later(chance.randint(1, 20))
        case "crash":
            driver.crash()
        case "end":
            driver.ask(chance.choice([events.Stop(), events.Terminate()]))
        case "suspend":
            driver.ask(chance.choice([events.Suspend(), events.Resume(), events.Resume()]))
        case "answer" if waiting := driver.suspended():
            node_id = chance.choice(waiting)
            driver.ask(events.SetNode(nodes=(node_id,), phase=chance.choice(PHASES), parameters={"said": "yes"}))
            driver.ask(events.Resume(nodes=(node_id,)))
        case "retry":
            driver.ask(events.Retry())


def _outcome(chance: random.Random) -> work.Outcome:
    kind = chance.choice(KINDS)
    code = {work.OutcomeKind.SUCCEEDED: 0, work.OutcomeKind.FAILED: chance.randint(1, 3)}.get(kind)
    message = "connect: connection refused" if kind is work.OutcomeKind.ERROR else "main: Error" if code else ""
    parameters = {"said": chance.choice(RESULTS)} if chance.random() < 0.5 else {}
    return work.Outcome(kind=kind, exit_code=code, message=message, result=chance.choice(RESULTS), parameters=parameters)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_walk_breaks_no_law_and_comes_to_an_end(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        try:
            walk(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.skipif("TIPHYS_FUZZ_SECONDS" not in os.environ, reason="set TIPHYS_FUZZ_SECONDS for a long search")
@pytest.mark.timeout(0)
def test_long_walks_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    first = random.SystemRandom().getrandbits(40)
    end = time.monotonic() + float(os.environ["TIPHYS_FUZZ_SECONDS"])
    count = 0
    while time.monotonic() < end:
        try:
            walk(first + count)
        except BaseException as error:
            error.add_note(f"seed {first + count}")
            raise
        count += 1
    with capsys.disabled():
        print(f"{count} walks from seed {first}")
