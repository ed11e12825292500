"""Dependency graphs of names: order, cycles, ancestors. No recursion, and nothing quadratic in the size of the graph."""

from collections.abc import Iterable, Mapping, Sequence

MAX_CYCLE = 12
"""Names of a cycle that a message shows."""

_BITS = 1024


def order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The names, each after what it needs, otherwise as given; those in or behind a cycle come last, as given."""
    ready, stuck = parted(needs)
    return ready + stuck


def parted(needs: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """The names as `order` gives them: those that can be reached, and those in or behind a cycle."""
    waits = dict.fromkeys(needs, 0)
    dependants: dict[str, list[str]] = {}
    for name, needed in needs.items():
        for need in dict.fromkeys(needed) if len(needed) > 1 else needed:
            if need in waits:
                waits[name] += 1
                dependants.setdefault(need, []).append(name)
    ready = [name for name, count in waits.items() if count == 0]
    for name in ready:  # grows while it is walked
        for dependant in dependants.get(name, ()):
            waits[dependant] -= 1
            if waits[dependant] == 0:
                ready.append(dependant)
    return ready, [name for name, count in waits.items() if count > 0] if len(ready) < len(waits) else []


def cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """A cycle as `[a, b, a]` (a needs b, b needs a); [] where there is none."""
    done: set[str] = set()
    for start in needs:
        if start in done:
            continue
        path: dict[str, None] = {start: None}
        stack = [iter(needs[start])]
        while stack:
            need = next(stack[-1], None)
            if need is None:
                stack.pop()
                done.add(path.popitem()[0])
            elif need in path:
                names = list(path)
                names = names[names.index(need) :]
                shown = names if len(names) <= MAX_CYCLE else [*names[:MAX_CYCLE], "…"]
                return [*shown, need]
            elif need not in done and need in needs:
                path[need] = None
                stack.append(iter(needs[need]))
    return []


def ancestors(needs: Mapping[str, Sequence[str]], wanted: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those pairs (name, other) of `wanted` where `name` needs `other`, directly or through others.

    Only the names asked for are carried through the graph, as bits, some at a time.
    """
    asked = set(wanted)
    found = {(name, other) for name, other in asked if other in needs.get(name, ())}
    open_pairs = asked - found
    others = sorted({other for _, other in open_pairs if other in needs})
    ordered = order(needs) if others else ()
    for first in range(0, len(others), _BITS):
        bits = {other: 1 << number for number, other in enumerate(others[first : first + _BITS])}
        carried: dict[str, int] = {}
        for name in ordered:
            mask = 0
            for need in needs[name]:
                mask |= carried.get(need, 0) | bits.get(need, 0)
            carried[name] = mask
        found.update((name, other) for name, other in open_pairs if carried.get(name, 0) & bits.get(other, 0))
    return found
