"""Lines of several nodes in the order of their times."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.scheduler.records import Node, Role
from tiphys.server import merging
from tiphys.server.clocks import Clock
from tiphys.spec.status import NodeType, Phase

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def node(name, start):
    at = T0 + timedelta(seconds=start)
    return Node(id=name, name=name, display_name=name, type=NodeType.POD, role=Role.TASK, phase=Phase.SUCCEEDED, started_at=at)


async def told(printed, size=3):
    """What is told of `printed`: for each node its start and when each of its lines came. Read in pieces of `size` lines."""
    opened = []

    async def read(one):
        opened.append(one.id)
        lines = [(number, f"{one.id}{number}") for number in range(1, len(printed[one.id][1]) + 1)]
        try:
            for index in range(0, len(lines), size):
                yield lines[index : index + size]
        finally:
            opened.remove(one.id)

    async def clock(name):
        start, times = printed[name]
        return Clock(T0 + timedelta(seconds=start), [(number, T0 + timedelta(seconds=at)) for number, at in enumerate(times)])

    nodes = sorted((node(name, start) for name, (start, _) in printed.items()), key=lambda one: one.started_at)
    found, most = [], 0
    async for one, lines in merging.merged(nodes, read, clock):
        most = max(most, len(opened))
        found += [(one.id, text) for _, text in lines]
    assert not opened
    return found, most


@pytest.mark.anyio
async def test_lines_of_steps_side_by_side_come_as_they_were_printed():
    found, _ = await told({"a": (0, [1, 4, 5, 9]), "b": (0.5, [2, 3, 6]), "c": (8, [8.5]), "d": (0, [])})
    assert [text for _, text in found] == ["a1", "b1", "b2", "a2", "a3", "b3", "c1", "a4"]


@pytest.mark.anyio
async def test_only_so_many_are_read_at_once(monkeypatch):
    monkeypatch.setattr(merging, "WIDE", 5)
    found, most = await told({f"n{index:02}": (0, [1, 2, 3, 4]) for index in range(20)}, size=1)
    assert most <= 5
    assert len(found) == 80


@pytest.mark.anyio
@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(st.integers(0, 20), st.lists(st.integers(0, 9), max_size=9)).map(
            lambda drawn: (drawn[0], [drawn[0] + sum(drawn[1][: index + 1]) for index in range(len(drawn[1]))])
        ),
    ),
    st.integers(1, 4),
)
async def test_nothing_is_lost_and_times_never_go_back(printed, size):
    found, _ = await told(printed, size)
    at = [printed[name][1][int(text[1:]) - 1] for name, text in found]
    assert at == sorted(at)
    for name, (_, times) in printed.items():
        assert [text for one, text in found if one == name] == [f"{name}{number}" for number in range(1, len(times) + 1)]
