"""Runs as they are at one moment, for a thread to look at while the run itself goes on."""

import copy

from tiphys.scheduler.state import RunState


def of(state: RunState) -> RunState:
    """A run that nothing changes any more, for a thread to decide about."""
    made = to_draw(state)
    made.ids = dict(state.ids)
    made.owned = {owner: list(owned) for owner, owned in state.owned.items()}
    return made


def to_draw(state: RunState) -> RunState:
    """A run of which nothing changes any more that a picture shows; who owns what does."""
    made = copy.copy(state)
    made.nodes, made.counters = dict(state.nodes), dict(state.counters)
    made.sources, made.bodies, made.plans, made.moulds, made.aggregates = {}, {}, {}, {}, {}  # caches
    return made
