"""However much a step prints, neither the daemon nor the launcher holds it in memory."""

from pathlib import Path

from tests.bench import subject
from tests.daemon.running import Tiphysd

PRINTED = 200_000_000
MOST_GROWTH = 20_000_000


def peak(pid: int) -> int:
    """The most bytes a process was resident in."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def test_a_step_that_prints_without_end_lets_nobody_grow(tiphysd: Tiphysd) -> None:
    tiphysd.settings = {"process": {"isolation": "none", "parallelism": 2}}
    tiphysd.start()
    ours = subject.Subject(daemon=tiphysd)
    ours.carry_out(subject.fan(5, name="warm"))
    before = peak(ours.pid), peak(tiphysd.launcher())
    tasks = [
        {"name": "much", "template": "much"},
        {"name": "after", "template": "after", "dependencies": ["much"], "when": "'{{tasks.much.outputs.result}}' == ''"},
    ]
    much = subject.command("much", "sh", "-c", f"yes 0123456789abcdef | head -c {PRINTED}")
    ours.carry_out(subject.workflow("much", [{"name": "main", "dag": {"tasks": tasks}}, much, subject.command("after", "true")]))
    after = peak(ours.pid), peak(tiphysd.launcher())
    assert all(now - then < MOST_GROWTH for then, now in zip(before, after, strict=True)), (before, after)
