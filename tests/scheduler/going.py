"""Tell a scheduler facts as the engine does: to their ends, however many slices that takes."""

from collections.abc import Iterator

from tiphys.scheduler import decision, events, state
from tiphys.scheduler.decide import decide


def entries(runs: state.State, event: events.Event) -> Iterator[tuple[events.Event, decision.Decision]]:
    """Decide and apply a fact, and what is left to do of it; each fact with its decision."""
    fact: events.Event | None = event
    while fact is not None:
        made = decide(runs, fact)
        assert isinstance(made, decision.Decision), made
        runs.apply(made)
        yield fact, made
        fact = events.Continued(at=event.at, uid=made.uid) if made.rest else None


def commands(runs: state.State, event: events.Event) -> list[decision.Command]:
    """All that is commanded because of a fact."""
    return [command for _, made in entries(runs, event) for command in made.commands]
