"""When a step printed what it did is known to a twentieth of a second, also after deaths; a step that is soon over costs nothing for it."""

import bisect
import itertools
import random
from datetime import UTC, datetime

import anyio
import pytest

from tests.process.orders import everywhere, opened, run, shell
from tests.process.test_deaths import end_daemon_launcher, kill, launchers
from tiphys.launching import captures, marks

pytestmark = [everywhere]
TOLD = 'tell() { echo "$1 $(date +%s.%N)"; }; '
LATE_SECONDS = 1.0
"""A machine that is busy reads late."""


async def lines(executor, handle):
    """Each line that an attempt printed, with the moment before it; None: it came soon after the start."""
    text = b"".join([piece async for piece in executor.logs(handle)]).decode()
    [moments] = await executor.timed([handle])
    counts = [moment.lines for moment in moments]
    assert counts == sorted(counts)
    found = []
    for number, line in enumerate(text.splitlines()):
        index = bisect.bisect_right(counts, number) - 1
        found.append((line, moments[index].at if index >= 0 else None))
    return found


def judge(found, began):
    """Hold times against those that the lines themselves tell."""
    assert found
    for line, at in found:
        said = datetime.fromtimestamp(float(line.split()[1]), UTC)
        late = ((at or began) - said).total_seconds()
        assert -0.3 < late < LATE_SECONDS, (line, at, late)


async def test_a_step_that_prints_now_and_then(tmp_path, isolation):
    script = TOLD + "tell a; sleep 0.5; tell b; tell c; sleep 0.1; tell d; sleep 0.3; tell e"
    async with opened(tmp_path, isolation) as executor:
        asked = shell(script)
        began = datetime.now(UTC)
        handle = await executor.launch(asked)
        with anyio.fail_after(20):
            while len(live := await lines(executor, handle)) < 4:
                await anyio.sleep(0.02)
        judge(live, began)
        assert live[2][1] is not None, "it is known while the step runs"
        assert (await executor.wait(asked, handle)).exit_code == 0
        ended = await lines(executor, handle)
        judge(ended, began)
        assert ended[: len(live)] == live
        assert [line[0] for line, _ in ended] == list("abcde")
        assert len({at for _, at in ended}) == 4, "what came together has one time, and the first came at the start"
        assert not list((tmp_path / "attempts" / ".runtime").rglob("*.times"))


async def test_a_step_that_is_soon_over_has_no_marks(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = shell("echo one; echo two")
        assert (await run(executor, asked)).exit_code == 0
        assert await executor.timed([await executor.launch(asked)]) == [()]
        assert b'"marks"' not in (executor._directories.group(asked.id) / "journal").read_bytes()


async def test_a_step_that_was_silent_and_then_printed_at_its_end(tmp_path, isolation):
    async with opened(tmp_path, isolation) as executor:
        asked = shell(TOLD + "sleep 0.6; tell late")
        began = datetime.now(UTC)
        assert (await run(executor, asked)).exit_code == 0
        [(line, at)] = await lines(executor, await executor.launch(asked))
        assert at is not None
        judge([(line, at)], began)


async def test_a_killed_launcher_takes_no_times_along(tmp_path, isolation):
    script = TOLD + f"tell a; sleep 0.5; tell b; sleep 0.3; tell c; while [ ! -e {tmp_path}/w/go ]; do sleep 0.05; done; tell d"
    async with opened(tmp_path, isolation, mode="daemon", writable=(str(tmp_path / "w"),)) as executor:
        asked = shell(script)
        began = datetime.now(UTC)
        handle = await executor.launch(asked)
        with anyio.fail_after(20):
            while len(live := await lines(executor, handle)) < 3:
                await anyio.sleep(0.02)
            kill(launchers(tmp_path))
            while not launchers(tmp_path):
                await anyio.sleep(0.02)
        await anyio.sleep(0.3)
        (tmp_path / "w" / "go").touch()
        await executor.wait(asked, handle)
        ended = await lines(executor, handle)
        assert ended[:3] == live
        judge([one for one in ended if not one[0].startswith("[")], began)
    end_daemon_launcher(tmp_path)


async def test_of_a_log_whose_beginning_was_cut_off_the_rest_has_its_times(tmp_path, isolation):
    script = TOLD + "sleep 0.3; for i in 1 2 3 4 5 6 7 8; do tell $i; head -c 60000 /dev/zero | tr '\\0' x; echo; sleep 0.1; done; tell end"
    async with opened(tmp_path, isolation, log_limit_bytes=200_000) as executor:
        asked = shell(script)
        began = datetime.now(UTC)
        handle = await executor.launch(asked)
        assert (await executor.wait(asked, handle)).exit_code == 0
        found = [one for one in await lines(executor, handle) if " " in one[0]]
        assert 3 <= len(found) < 9
        judge(found, began)


async def test_of_a_large_log_the_times_are_those_of_its_lines(tmp_path, isolation):
    script = TOLD + "for i in 1 2 3 4 5 6; do tell $i; head -c 30000 /dev/zero | tr '\\0' '\\n'; sleep 0.12; done"
    async with opened(tmp_path, isolation) as executor:
        asked = shell(script)
        began = datetime.now(UTC)
        handle = await executor.launch(asked)
        assert (await executor.wait(asked, handle)).exit_code == 0
        found = [one for one in await lines(executor, handle) if one[0]]
        assert len(found) == 6
        judge(found, began)


def test_there_are_never_too_many_and_the_older_are_the_sparser(tmp_path, isolation, monkeypatch):
    del isolation
    monkeypatch.setattr(marks, "PAUSE_SECONDS", 0.0)
    found = marks.Marks(str(tmp_path / "x.times"))
    for number in range(20_000):
        found.note(number * 10, number)
        assert len(found.known) <= marks.MOST
    assert (found.known[0][1], found.known[-1][1]) == (0, 19_999)
    assert marks.unpacked((tmp_path / "x.times").read_bytes()) == found.known
    assert marks.unpacked((tmp_path / "x.times").read_bytes()[:-5]) == found.known[:-1]
    found.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("every", "days"), [(0.05, 0.2), (5.0, 30), (600.0, 400)])
def test_the_older_a_mark_is_the_sparser_they_are(isolation, every, days):
    del isolation
    known: list[marks.Mark] = []
    count = int(days * 86400 / every)
    for number in range(count):
        known.append((number, number, number * every))
        if len(known) > marks.MOST:
            known = marks.thinned(known)
    assert len(known) <= marks.MOST
    assert known[0] == (0, 0, 0.0)
    times = [at for _, _, at in known]
    assert times == sorted(times)
    for before, after in itertools.pairwise(times):
        assert after - before <= max(2 * every, (times[-1] - before) / 8), (before, after)


def test_marks_of_a_launcher_before_are_gone_on_with(tmp_path, isolation, monkeypatch):
    del isolation
    monkeypatch.setattr(marks, "PAUSE_SECONDS", 0.0)
    chance = random.Random(7)
    first = captures.Capture(str(tmp_path / "x.log"), 1 << 20)
    noted = marks.Marks(marks.path_beside(first))
    for _ in range(100):
        if chance.random() < 0.5:
            noted.note(first.size, first.lines)
        first.write(b"a\n" * chance.randrange(5) + b"b" * chance.randrange(3))
    first.close(remove=False)
    again = captures.Capture(first.path, 1 << 20)
    over = marks.taken_over(again)
    assert over is not None
    assert over.known == noted.known
    assert (again.size, again.lines) == (first.size, first.lines)
    assert marks.taken_over(captures.Capture(str(tmp_path / "never.log"), 10)) is None
