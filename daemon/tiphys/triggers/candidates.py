"""Files looked at and judged in one go, in a thread: a batch is as large as memory and patience allow."""

import functools
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from tiphys.spec.workflows import Document
from tiphys.triggers import looking, names, verdicts
from tiphys.triggers.looking import Kind, Rules, Seen, Stamp
from tiphys.triggers.verdicts import Bad, Judge, Text, Verdict

BATCH = 64
BATCH_BYTES = 8 * 1024 * 1024

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file to look at: its name for people, the file itself, the names beside it that its parameters may have, and whether any of it
    was submitted before.
    """

    name: str
    path: Path
    parameters: Sequence[str]
    recorded: bool = False


@dataclass(frozen=True, kw_only=True)
class Same:
    """The definitions in force were made from exactly this."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was found. `parameters` is the name of the file with them, "" without any; no verdict without a file to judge."""

    name: str
    kind: Kind
    stamp: Stamp | None = None
    parameters: str = ""
    verdict: Verdict | Same | None = None
    trouble: str = ""  # of a file that could not be looked at


def dropped(folder: Path, name: str) -> Candidate:
    """A file in the drop folder."""
    return Candidate(name=name, path=folder / name, parameters=tuple(names.parameters_of(name)))


def timezones() -> frozenset[str]:
    """The names of time zones, read from disk once."""
    return _timezones()


@functools.cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def judge(
    candidates: Sequence[Candidate], rules: Rules, by: Judge, known: Sequence[Document], sources: Mapping[str, str]
) -> Sequence[Judged]:
    """As many of the first candidates as make a batch, at least one. `sources` are the digests of what is in force by source.

    Blocks.
    """
    looks: list[tuple[Candidate, Seen, tuple[str, Seen] | None]] = []
    size = 0
    for candidate in candidates[:BATCH]:
        seen = looking.look(candidate.path, rules)
        beside = _parameters(candidate, rules) if seen.kind is Kind.FILE else None
        looks.append((candidate, seen, beside))
        size += len(seen.data) + (len(beside[1].data) if beside else 0)
        if size >= BATCH_BYTES:
            break
    texts = [_text(candidate, seen, beside, sources) for candidate, seen, beside in looks]
    found = _safely(by, [text for text in texts if isinstance(text, Text)], known)
    return [
        Judged(
            name=candidate.name,
            kind=_worse(seen, beside),
            stamp=seen.stamp,
            parameters=beside[0] if beside is not None else "",
            verdict=next(found) if isinstance(text, Text) else text,
            trouble=seen.why or (beside[1].why if beside is not None else ""),
        )
        for (candidate, seen, beside), text in zip(looks, texts, strict=True)
    ]


def _worse(seen: Seen, beside: tuple[str, Seen] | None) -> Kind:
    """A manifest whose parameters are not ready is not ready."""
    return beside[1].kind if beside is not None and beside[1].kind in (Kind.WRITING, Kind.FAILED) else seen.kind


def _parameters(candidate: Candidate, rules: Rules) -> tuple[str, Seen] | None:
    """The first file of parameters that is there."""
    for name in candidate.parameters:
        seen = looking.look(candidate.path.with_name(name), rules)
        if seen.kind is not Kind.GONE:
            return name, seen
    return None


def _text(candidate: Candidate, seen: Seen, beside: tuple[str, Seen] | None, sources: Mapping[str, str]) -> Text | Same | Bad | None:
    """What there is to judge; or the verdict, where no judge is needed."""
    source = names.source(candidate.name)
    standing = source in sources
    name = names.shown(candidate.name)
    if seen.kind is Kind.UNFIT:
        return Bad(why=f"{name}: error: {seen.why}", stays=standing)
    if seen.kind is not Kind.FILE:
        return None
    if standing and verdicts.digest(seen.data) == sources[source]:
        return Same()
    if beside is None:
        return Text(name=name, data=seen.data, standing=standing, recorded=candidate.recorded)
    file, parameters = names.shown(beside[0]), beside[1]
    if parameters.kind is Kind.FILE:
        given = (file, parameters.data)
        return Text(name=name, data=seen.data, parameters=given, standing=standing, recorded=candidate.recorded)
    return Bad(why=f"{file}: error: {parameters.why or 'it is not a file'}", stays=standing)


def _safely(by: Judge, texts: Sequence[Text], known: Sequence[Document]) -> Iterator[Verdict]:
    """The verdicts. A mistake of ours refuses the file that shows it: else every start of the daemon would end with it."""
    try:
        return iter(by.judge(texts, known))
    except Exception:
        log.exception("files could not be judged together", files=len(texts))
        return iter([_alone(by, text, known) for text in texts])


def _alone(by: Judge, text: Text, known: Sequence[Document]) -> Verdict:
    try:
        return by.judge([text], known)[0]
    except Exception as error:
        log.exception("file could not be judged", file=text.name)
        return Bad(why=f"{text.name}: error: it could not be judged, by a mistake of this program: {error!r}", stays=text.standing)
