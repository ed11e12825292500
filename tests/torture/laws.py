"""The promises P1 to P9, judged when all is over: what was dropped, what the daemon has committed, and what the witness saw agree."""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from tests.torture import witness
from tests.torture.corpus import CRONS, Dropped
from tests.torture.ledger import CRON_LABEL, FILE_LABEL, Ledger, is_step
from tests.torture.victim import Victim
from tests.torture.witness import Witness
from tiphys.executors.process import places
from tiphys.launching import recovery
from tiphys.scheduler.records import Node
from tiphys.scheduler.state import SHARED
from tiphys.spec.status import Phase
from tiphys.triggers.cron import MOST_MISSED

PLACES = ("accepted", "rejected")
TICK = timedelta(seconds=1)
INTERRUPTED = "interrupted"
UNHEARD = recovery.UNHEARD.decode()


class Laws:
    """All laws of a world that has come to its end. `strict`: no launcher was killed, so no step was cut off."""

    def __init__(self, victim: Victim, ledger: Ledger, seen: Witness, dropped: Mapping[str, Dropped], *, strict: bool) -> None:
        self.victim, self.ledger, self.seen, self.dropped, self.strict = victim, ledger, seen, dropped, strict
        self.phases = ledger.phases()
        self.of_file: dict[str, list[str]] = defaultdict(list)
        for uid, (_, labels) in self.phases.items():
            if name := labels.get(FILE_LABEL):
                self.of_file[name].append(uid)

    def broken(self) -> list[str]:
        """Every violation."""
        steps = (self.files, self.ends, self.counts, self.outcomes, self.logs)
        others = (self.locks, self.ticks, self.notices, self.requests, self.left)
        return [text for law in (*steps, *others) for text in law()]

    def files(self) -> Iterator[str]:
        """P1: each file became one run, and lies among the accepted."""
        accepted, rejected = (Counter(path.name.split("-", 1)[1] for path in (self.victim.drop / name).glob("*")) for name in PLACES)
        for name, dropped in self.dropped.items():
            made = len(self.of_file[name])
            if made != dropped.shape.runs and (dropped.sure or made):
                yield f"P1: {name} became {made} runs"
            if dropped.by_socket:
                continue
            wanted = (1, 0, 0) if dropped.shape.runs else (0, 1, 1)
            found = (accepted[f"{name}.yaml"], rejected[f"{name}.yaml"], rejected[f"{name}.yaml.why"])
            if found != wanted:
                yield f"P1: the file {name} is {found} times among the accepted, the rejected and the reasons"
        for name in self.victim.dropped():
            yield f"P1: {name} was not consumed"
        known = self.phases.keys()
        for uid in self.seen.by_run.keys() - known:
            yield f"P1: the witness saw steps of the run {uid}, which nobody knows"

    def ends(self) -> Iterator[str]:
        """Each run ends in the phase that its shape has."""
        for name, dropped in self.dropped.items():
            for uid in self.of_file[name]:
                if self.phases[uid][0] != dropped.shape.phase:
                    yield f"{name} ({uid}) ended {self.phases[uid][0]}, not {dropped.shape.phase}: {self._why(uid)}"
        for uid, (phase, labels) in self.phases.items():
            if labels.get(CRON_LABEL) in CRONS and phase != "Succeeded":
                yield f"a tick's run {uid} of {labels[CRON_LABEL]} ended {phase}: {self._why(uid)}"

    def _why(self, uid: str) -> str:
        found = [f"{node.display_name}: {node.phase} {node.message}" for (run, _), node in self.ledger.nodes.items() if run == uid]
        run = self.ledger.runs.get(uid)
        return "; ".join([run.message if run else "", *found])[:600]

    def _never_began(self, uid: str) -> bool:
        """Whether a run was ended while it still waited for a place among those that go on: nothing of it ran, its exit handler neither."""
        run = self.ledger.runs.get(uid)
        return run is not None and run.phase.completed and run.started_at is None and uid not in self.seen.by_run

    def counts(self) -> Iterator[str]:
        """P2 and P6: each step started as often as it should have; the exit handler once for each end."""
        for name, dropped in self.dropped.items():
            for uid in self.of_file[name]:
                if self._never_began(uid):
                    continue
                counted = self.seen.counted(uid)
                for label, (least, most) in dropped.starts.items():
                    law = "P6" if label in {"exit", "worked"} else "P2"
                    if counted.get(label, 0) < least or (self.strict and counted.get(label, 0) > most):
                        yield f"{law}: {name} ({uid}): {label} started {counted.get(label, 0)} times, not {least} to {most}"
                for label in counted.keys() - dropped.starts.keys():
                    yield f"{name} ({uid}): {label} was started"
                if "exit" in dropped.starts and not any(self._ended(line) for line in self.seen.by_run[uid] if line.label == "exit"):
                    yield f"P6: {name} ({uid}): the exit handler did not come to its end"

    def _ended(self, line: witness.Line) -> bool:
        return line.attempt in self.seen.ends

    def outcomes(self) -> Iterator[str]:
        """P3: what ended while the daemon was dead, too, has its true exit code; no step is lost while its launcher lives."""
        for uid, node in self._nodes():
            if not is_step(node) or not node.phase.fulfilled or not node.handle:
                continue
            end = self.seen.ends.get(f"{uid}/{node.id}/{node.attempt}")
            if INTERRUPTED in node.message:
                if self.strict:
                    yield f"P3: {uid}/{node.id} was lost: {node.message}"
            elif end is None and node.phase is Phase.SUCCEEDED:
                yield f"P3: {uid}/{node.id} succeeded, but the witness did not see its end"
            elif end is not None and (node.outputs.exit_code if node.outputs else None) != str(end.code):
                yield f"P3: {uid}/{node.id} exited {end.code}; its row says {node.outputs and node.outputs.exit_code}: {node.message}"

    def _nodes(self) -> Iterator[tuple[str, Node]]:
        for (uid, _), node in self.ledger.nodes.items():
            yield uid, node

    def logs(self) -> Iterator[str]:
        """P3: the log of each step that came to its end is whole."""
        for uid in self.ledger.runs:
            folder = self.victim.directories.group(f"{uid}/")
            journal, output = folder / "journal", folder / "output"
            for text in journal.read_bytes().splitlines() if journal.exists() else ():
                record = json.loads(text)
                end = self.seen.ends.get(record["id"])
                if record["told"] != "ended" or end is None or record["interrupted"]:
                    continue
                offset, length = record.get("log") or (0, 0)
                with output.open("rb") as file:
                    file.seek(offset)
                    log = file.read(length).decode()
                if not self._is_whole(log, witness.said(end.label)):
                    yield f"P3: {record['id']} ({end.label}): its log has {len(log.splitlines())} lines"

    def _is_whole(self, log: str, said: str) -> bool:
        """What nobody could hear is only missing where a launcher was killed, and is said to be."""
        return log == said or (not self.strict and log.endswith(UNHEARD) and said.startswith(log.removesuffix(UNHEARD)))

    def locks(self) -> Iterator[str]:
        """P5: nobody holds or waits for anything once all is over."""
        shared = self.ledger.fresh().shared
        for key, count in shared.counters.items():
            if key[0] in SHARED and count:
                yield f"P5: {key} counts {count} though every run is completed"
        for lock, queue in shared.queues.items():
            yield f"P5: {len(queue)} wait for {lock} though every run is completed"

    def ticks(self) -> Iterator[str]:
        """P7: each second is a row, which was fired once or skipped for a reason; each run of a cron workflow is a row's."""
        fired: dict[str, str] = {}
        for name in CRONS:
            rows = sorted((tick for tick in self.ledger.ticks.values() if tick.name == name), key=lambda tick: tick.scheduled_at)
            for before, after in itertools.pairwise(rows):
                forgotten = after.at - after.scheduled_at >= TICK * (MOST_MISSED - 1)  # of a longer outage the newest ticks are told
                if after.scheduled_at - before.scheduled_at != TICK and not forgotten:
                    yield f"P7: {name} has no row between {before.scheduled_at} and {after.scheduled_at}"
            for tick in rows:
                if bool(tick.uid) == bool(tick.skipped):
                    yield f"P7: {tick.key}: run {tick.uid!r}, skipped {tick.skipped!r}"
                elif tick.uid:
                    fired[tick.uid] = tick.key
        runs = {uid for uid, (_, labels) in self.phases.items() if labels.get(CRON_LABEL) in CRONS}
        for uid in runs - fired.keys():
            yield f"P7: the run {uid} is no tick's"
        for uid in fired.keys() - runs:
            yield f"P7: the tick {fired[uid]} started no run"
        for uid, key in fired.items():
            count = self.seen.counted(uid).get("tick", 0)
            if count < 1 or (self.strict and count > 1):
                yield f"P7: the step of the tick {key} started {count} times"

    def notices(self) -> Iterator[str]:
        """P8: each phase of each run was told at least once."""
        told = set(told_ids(self.victim))
        for uid, (phase, _) in self.phases.items():
            for wanted in (phase,) if self._never_began(uid) else ("Running", phase):
                if f"{uid}/0/{wanted}/told" not in told:
                    yield f"P8: nobody was told that {uid} is {wanted}"
        for key in self.ledger.outbox:
            yield f"P8: the outbox still holds {key}"

    def requests(self) -> Iterator[str]:
        """An http step repeats its request with the same key, which no other step has."""
        asked = asked_of(self.victim)
        owners: dict[str, str] = {}
        for path, keys in asked.items():
            if len(set(keys)) != 1:
                yield f"http: {path} was asked with {len(set(keys))} keys"
            for key in set(keys):
                if owners.setdefault(key, path) != path:
                    yield f"http: {path} and {owners[key]} have the same key"
        for name, dropped in self.dropped.items():
            found = [path for path in asked if path.startswith(f"/{name}/")]
            if len(found) != dropped.shape.requests * len(self.of_file[name]):
                yield f"http: {name} made {len(found)} of {dropped.shape.requests} requests"

    def left(self) -> Iterator[str]:
        """Nothing is left running or lying about."""
        for pid in self.victim.steps():
            yield f"a step still runs: process {pid}"
        kept = {places.place(f"{uid}/").group for uid in self.ledger.runs}
        for folder in self.victim.directories.root.iterdir():
            if not folder.name.startswith(".") and folder.name not in kept:
                yield f"the folder of a deleted run is left: {folder.name}"
        for path in (*self.victim.directories.scratch.iterdir(), *self.victim.directories.states.iterdir()):
            if path.name.startswith(("home.", "free.")):
                continue  # it waits for the next step
            if self.strict or path.suffix != ".log":
                yield f"left by an attempt: {path.name}"
        for key in self.ledger.claims:
            yield f"the claim {key} was not forgotten"
        aside = self.victim.state / "artifacts" / ".incoming"
        if self.strict and aside.is_dir() and len(list(aside.iterdir())) > 200:
            yield f"{len(list(aside.iterdir()))} halves of artifacts are left"


def told_ids(victim: Victim) -> Sequence[str]:
    """The ids of all notices that were told, as often as they were."""
    return victim.notices.read_text(encoding="utf-8").split() if victim.notices.exists() else []


def asked_of(victim: Victim) -> Mapping[str, Sequence[str]]:
    """The keys of all requests, by path."""
    found: dict[str, list[str]] = defaultdict(list)
    for text in victim.requests.read_text(encoding="utf-8").splitlines() if victim.requests.exists() else ():
        path, key = text.split(" ")
        found[path].append(key)
    return found
