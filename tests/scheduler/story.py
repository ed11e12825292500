"""A scenario as a text a person can review: a workflow's spec, then facts, and after each what the scheduler decided.

A file is the scenario's promise (lines with `#`), the spec in YAML, a line `---`, and then facts, one a line, each with what was
decided below it:

    > submitted                            the workflow is handed in
    > started wf.a                         an attempt runs
    > exited wf.a failed 3 x=1 result=2    it ended: kind, exit code, output parameters, result, message="…", artifact:x
    > reported wf.a ready ip=10.0.0.1 progress=1/2 container:b=failed:3
                                         it says something of itself
    > ran wf.a failed 3                    started and ended at once, one decision after the other
    > clock 10s                            so much time passes; timers go off when they are due
    > asked stop                           or terminate, suspend, resume [NODE…], set NODE… [x=v] [phase=P] [message=…], retry [NODE…] [p=v]
    > crashed                              memory is gone: the rows are loaded again
    > fired wf.a                           a timer goes off that perhaps nobody set

The decision's lines: `+` a new node, `-` one that is gone, `~` one that changed; `run` the workflow; commands by their names.
"""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tiphys import manifests
from tiphys.errors import TiphysError
from tiphys.expressions import durations
from tiphys.scheduler import decide, decision, events, laws, orders, records, state
from tiphys.settings import LimitSettings
from tiphys.spec import work
from tiphys.spec.artifacts import S3, Artifact
from tiphys.spec.status import Phase
from tiphys.spec.templates import Outputs
from tiphys.spec.workflows import ClusterWorkflowTemplate, ConfigMap, Workflow, WorkflowTemplate

UID = "u"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: wf, namespace: default}\nspec:\n"
WISHES = {"stop": events.Stop(), "terminate": events.Terminate(), "suspend": events.Suspend()}


def played(path: Path) -> str:
    """The file's text with every decision made anew."""
    head, _, body = path.read_text().partition("\n---\n")
    spec = "\n".join(line for line in head.splitlines() if not line.startswith("#"))
    story = Story(spec)
    lines = [head, "---"]
    for line in body.splitlines():
        if line.startswith("> "):
            lines += [line, *("    " + text.replace("\n", " ⏎ ") for text in story.tell(line[2:]))]
        elif not line.startswith("    "):
            lines.append(line)
    return "\n".join(lines) + "\n"


def manifest(spec: str) -> records.Manifest:
    """The manifest of a spec; further documents, whole ones, may follow after `===`."""
    first, *others = spec.split("\n===\n")
    text = HEADER + "\n".join(f"  {line}" for line in first.strip().splitlines())
    parsed = manifests.parse("\n---\n".join([text, *others]).encode(), "story", LimitSettings())
    assert not parsed.diagnostics, [diagnostic.message for diagnostic in parsed.diagnostics]
    documents = [located.document for located in parsed.documents]
    workflow = documents[0]
    assert isinstance(workflow, Workflow)
    return records.Manifest(
        uid=UID,
        workflow=workflow,
        templates=tuple(d for d in documents if isinstance(d, WorkflowTemplate)),
        cluster_templates=tuple(d for d in documents if isinstance(d, ClusterWorkflowTemplate)),
        config_maps=tuple(d for d in documents if isinstance(d, ConfigMap)),
    )


class Story:
    """One run, driven by hand."""

    def __init__(self, spec: str) -> None:
        self._manifest = manifest(spec)
        self.state = state.State()
        self.now = BEGAN
        self._timers: dict[str, datetime] = {}
        self._names: dict[str, str] = {}

    @property
    def run(self) -> state.RunState:
        """The run in memory."""
        return self.state.runs[UID]

    def tell(self, fact: str) -> list[str]:
        """What is decided on a fact, in lines."""
        verb, *words = shlex.split(fact)
        match verb:
            case "submitted":
                return self._take(events.Submitted(at=self.now, uid=UID, seed="seed", manifest=self._manifest))
            case "started":
                return self._started(words[0])
            case "exited":
                return self._exited(words)
            case "reported":
                return self._reported(words)
            case "ran":
                return [*self._started(words[0]), *self._exited(words)]
            case "clock":
                return self._clock(durations.parse(words[0]))
            case "fired":
                return self._take(events.TimerFired(at=self.now, uid=UID, key=self._id(words[0])))
            case "asked":
                return self._take(events.Asked(at=self.now, uid=UID, wish=self._wish(words), who="somebody"))
            case "crashed":
                return self._crashed()
        raise AssertionError(f"no fact is called {verb}")

    # facts

    def _id(self, name: str) -> str:
        return self.run.ids.get(name, name)

    def _attempt(self, name: str) -> tuple[str, int]:
        name, _, number = name.partition("#")
        node = self.run.nodes.get(self._id(name))
        return self._id(name), int(number) if number else node.attempt if node is not None else 0

    def _started(self, name: str) -> list[str]:
        node_id, attempt = self._attempt(name)
        handle = work.Handle(executor="story", text=node_id)
        return self._take(events.Started(at=self.now, uid=UID, node_id=node_id, attempt=attempt, handle=handle))

    def _exited(self, words: list[str]) -> list[str]:
        name, *rest = words
        node_id, attempt = self._attempt(name)
        return self._take(events.Exited(at=self.now, uid=UID, node_id=node_id, attempt=attempt, outcome=_outcome(rest)))

    def _reported(self, words: list[str]) -> list[str]:
        name, *rest = words
        node_id, attempt = self._attempt(name)
        given = dict(word.partition("=")[::2] for word in rest)
        report = work.Report(
            ready="ready" in given,
            ip=given.get("ip", ""),
            progress=given.get("progress", ""),
            containers=_containers(rest),
        )
        return self._take(events.Reported(at=self.now, uid=UID, node_id=node_id, attempt=attempt, report=report))

    def _clock(self, passes: timedelta) -> list[str]:
        end = self.now + passes
        lines: list[str] = []
        while due := sorted((at, key) for key, at in self._timers.items() if at <= end):
            at, key = due[0]
            self.now = max(self.now, at)
            del self._timers[key]
            lines.append(f"at {_seconds(self.now - BEGAN)} the timer of {self._name(key) if key else 'the workflow'} goes off")
            lines += [f"  {line}" for line in self._take(events.TimerFired(at=self.now, uid=UID, key=key))]
        self.now = end
        return lines

    def _wish(self, words: list[str]) -> events.Wish:
        what, *rest = words
        pairs = dict(word.split("=", 1) for word in rest if "=" in word)
        ids = tuple(self._id(word) for word in rest if "=" not in word)
        match what:
            case "resume":
                return events.Resume(nodes=ids)
            case "set":
                phase, message = Phase(pairs.pop("phase", "")), pairs.pop("message", "")
                return events.SetNode(nodes=ids, phase=phase, message=message, parameters=pairs)
            case "retry":
                return events.Retry(parameters=pairs, restart=ids)
        return WISHES[what]

    def _crashed(self) -> list[str]:
        old = self.run
        self.state = state.State()
        self.state.load(old.manifest, old.run, old.nodes.values())
        self._timers.clear()
        return self._take(events.DaemonStarted(at=self.now, uid=UID))

    # decisions

    def _take(self, event: events.Event) -> list[str]:
        before = laws.snapshot(self.state, UID)
        made = decide.decide(self.state, event)
        assert laws.snapshot(self.state, UID) == before, "deciding changed the state"
        if isinstance(made, decision.Refusal):
            return [f"refused: {made.reason}"]
        broken = laws.step(self.state.runs.get(UID), made)
        lines = list(self._changes(made))
        self.state.apply(made)
        broken += laws.check(self.run)
        assert not broken, broken
        return [*lines, *self._commands(made)] or ["nothing"]

    def _changes(self, made: decision.Decision) -> Iterator[str]:
        known = self.state.runs.get(UID)
        removed = [change.node_id for change in made.changes if isinstance(change, decision.NodeRemoved)]
        yield from (f"- {self._name(node_id)}" for node_id in removed)
        for change in made.changes:
            if isinstance(change, decision.RunPut):
                yield from _run_line(known.run if known is not None else None, change.run)
            elif isinstance(change, decision.NodePut):
                node = change.node
                self._names[node.id] = node.name
                old = known.nodes.get(node.id) if known is not None and node.id not in removed else None
                if old is None:
                    yield f"+ {node.name} {node.type} {_node(node)}"
                elif _node(old) != _node(node):
                    yield f"~ {node.name} {_node(node)}"

    def _commands(self, made: decision.Decision) -> Iterator[str]:
        for command in made.commands:
            match command:
                case decision.Launch(node_id=node_id):
                    yield f"launch {self._name(node_id)}{self._order(node_id)}"
                case decision.Adopt(node_id=node_id):
                    yield f"adopt {self._name(node_id)}"
                case decision.StopAttempt(node_id=node_id):
                    yield f"stop {self._name(node_id)}"
                case decision.SetTimer(key=key, at=at):
                    self._timers[key] = at
                    yield f"timer of {self._name(key) if key else 'the workflow'} in {_seconds(at - self.now)}"
                case decision.Measure(samples=samples):
                    for sample in samples:
                        labels = "".join(f" {key}={value}" for key, value in sample.labels.items())
                        value = "counts from now on" if sample.since is not None else f"{sample.operation} {sample.value:g}".strip()
                        yield f"measure {sample.kind} {sample.name}{labels}: {value}"
                case decision.Finish():
                    self._timers.clear()
                    yield "finish"
                case decision.Wake(uid=uid):
                    yield f"wake {uid}"

    def _name(self, node_id: str) -> str:
        return self._names.get(node_id, node_id)

    def _order(self, node_id: str) -> str:
        try:
            order = orders.build(self.run, node_id, self.now)
        except TiphysError as error:
            return f" cannot be ordered: {error}"
        text = ""
        if isinstance(order.work, work.Command):
            container = order.work.container
            text = " ".join([*(container.command or ()), *(container.args or ())])
            text += f" {order.work.source!r}" if order.work.source is not None else ""
        if order.wanted.result:
            text += " (its result is wanted)"
        if order.deadline is not None:
            text += f" (until {_seconds(order.deadline - BEGAN)}: {order.deadline_message})"
        for given in order.inputs:
            text += f" (with {given.artifact.name} at {given.artifact.path})"
        return f": {text}" if text else ""


def _seconds(passed: timedelta) -> str:
    return f"{passed.total_seconds():g}s"


def _containers(words: list[str]) -> tuple[work.ContainerState, ...]:
    found = []
    for word in words:
        if word.startswith("container:"):
            name, _, state = word.removeprefix("container:").partition("=")
            phase, _, code = state.partition(":")
            found.append(work.ContainerState(name=name, phase=work.ContainerPhase(phase), exit_code=int(code) if code else None))
    return tuple(found)


def _outcome(words: list[str]) -> work.Outcome:
    named = bool(words) and words[0] in set(work.OutcomeKind)
    kind = work.OutcomeKind(words.pop(0)) if named else work.OutcomeKind.SUCCEEDED
    code = 0 if kind is work.OutcomeKind.SUCCEEDED else None
    message, result = "", None
    parameters: dict[str, str] = {}
    artifacts: list[Artifact] = []
    for word in words:
        key, equals, value = word.partition("=")
        if key.startswith("container:"):
            continue
        if key.isdecimal():
            code = int(key)
            message = message or (f"main: Error (exit code {code})" if code else "")
        elif key.startswith("artifact:"):
            name = key.removeprefix("artifact:")
            artifacts.append(Artifact(name=name, path=f"/{name}", s3=S3(key=f"made/{name}")))
        elif key == "message":
            message = value
        elif key == "result":
            result = value
        else:
            assert equals, word
            parameters[key] = value
    return work.Outcome(
        kind=kind,
        exit_code=code,
        message=message,
        result=result,
        parameters=parameters,
        artifacts=tuple(artifacts),
        containers=_containers(words),
    )


def _run_line(old: records.Run | None, run: records.Run) -> Iterator[str]:
    before, after = _run(old) if old is not None else "", _run(run)
    if before != after:
        yield f"run {after}"


def _run(run: records.Run) -> str:
    text = str(run.phase)
    text += f" ({run.message})" if run.message else ""
    text += ", suspended" if run.suspended else ""
    text += f", shutdown {run.shutdown}" if run.shutdown else ""
    text += f", metrics error: {run.metrics_error}" if run.metrics_error else ""
    text += ", past its deadline" if run.deadline_passed else ""
    given = _outputs(run.outputs)
    return text + (f", gives {given}" if given else "")


def _node(node: records.Node) -> str:
    text = str(node.phase)
    text += f" ({node.message})" if node.message else ""
    text += f", ending: {node.ending}" if node.ending else ""
    text += f", up at {node.ip}" if node.daemoned and not node.phase.fulfilled else ""
    text += f", progress {node.progress}" if node.progress else ""
    if node.phase.fulfilled and node.outputs is not None:
        given = _outputs(node.outputs)
        text += f", gives {given}" if given else ""
    return text


def _outputs(outputs: Outputs) -> str:
    parts = [f"result={outputs.result}"] if outputs.result is not None else []
    parts += [f"{p.name}={'?' if p.value is None else p.value}" for p in outputs.parameters]
    parts += [f"artifact {a.name} at {a.s3.key if a.s3 is not None else '?'}" for a in outputs.artifacts]
    return ", ".join(parts)
