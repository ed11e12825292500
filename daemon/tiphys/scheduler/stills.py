"""Runs as they are at one moment, for a thread to look at while the run itself goes on."""

import copy

from tiphys.scheduler.state import RunState


def of(state: RunState) -> RunState:
    """A run that nothing changes any more, for a thread to look at."""
    made = copy.copy(state)
    made.nodes, made.ids = dict(state.nodes), dict(state.ids)
    made.owned = {owner: list(owned) for owner, owned in state.owned.items()}
    made.counters = dict(state.counters)
    made.sources, made.bodies, made.plans, made.moulds, made.aggregates = {}, {}, {}, {}, {}  # caches
    return made
