"""The mixed load of the soak: what is dropped, and the phase that each must come to. Steps mostly sleep, so that many workflows are in
flight while they cost little.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench import subject

Workflow = dict[str, object]
LABEL = "soak/file"
LIMITS = "soak-limits"


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a shape is made with. `nap`: seconds that a step sleeps. `url`: a server that answers 200. `place`: a folder steps may write."""

    name: str
    nap: float
    url: str
    place: str


def steps(made: Made, groups: list[list[Workflow]], *templates: Workflow, **spec: object) -> Workflow:
    """A workflow of step groups."""
    return subject.workflow(made.name, [{"name": "main", "steps": groups}, *templates], **spec)


def one(name: str, template: str = "", **fields: object) -> Workflow:
    """A step."""
    return {"name": name, "template": template or name, **fields}


def sh(name: str, text: str, **fields: object) -> Workflow:
    """A template of a shell command."""
    return {"name": name, "container": {"image": "busybox", "command": ["sh", "-c", text]}, **fields}


def nap(made: Made, name: str = "nap") -> Workflow:
    """A step that sleeps, and says so."""
    return sh(name, f"echo {name} begins; sleep {made.nap:.1f}; echo {name} ends")


TIDY = sh("tidy", "echo {{workflow.status}}")


def diamond(made: Made) -> Workflow:
    """Four tasks."""
    depends = {"a": "", "b": "a", "c": "a", "d": "b && c"}
    tasks = [one(name, "nap", **({"depends": what} if what else {})) for name, what in depends.items()]
    return subject.workflow(made.name, [{"name": "main", "dag": {"tasks": tasks}}, nap(made)])


def loop(made: Made) -> Workflow:
    """Items, and their outputs as a list."""
    each = sh("each", f"sleep {made.nap:.1f}; echo {{{{inputs.parameters.number}}}}", inputs={"parameters": [{"name": "number"}]})
    items = one("each", withSequence={"count": "6"}, arguments={"parameters": [{"name": "number", "value": "{{item}}"}]})
    whole = one("all", arguments={"parameters": [{"name": "list", "value": "{{steps.each.outputs.result}}"}]})
    return steps(made, [[items], [whole]], each, sh("all", "echo '{{inputs.parameters.list}}'", inputs={"parameters": [{"name": "list"}]}))


def retries(made: Made) -> Workflow:
    """Two tries fail, the third does not."""
    strategy = {"limit": 4, "retryPolicy": "Always", "backoff": {"duration": "1s", "factor": 2}}
    return steps(made, [[one("try")]], sh("try", f"sleep {made.nap / 4:.1f}; [ {{{{retries}}}} -ge 2 ] || exit 3", retryStrategy=strategy))


def failing(made: Made) -> Workflow:
    """A step fails after the others; the exit handler runs."""
    return steps(
        made, [[one("nap")], [one("bad")], [one("never", "nap")]], nap(made), sh("bad", "echo no >&2; exit 7"), TIDY, onExit="tidy"
    )


def late(made: Made) -> Workflow:
    """Its deadline passes."""
    return steps(made, [[one("long")]], sh("long", "sleep 900"), TIDY, onExit="tidy", activeDeadlineSeconds=int(made.nap) + 5)


def mutex(made: Made) -> Workflow:
    """One at a time, among all of this shape."""
    inside = sh("inside", "sleep 0.3", synchronization={"mutexes": [{"name": "soak"}]})
    return steps(made, [[one("nap")], [one("inside", withSequence={"count": "2"})]], nap(made), inside)


def semaphore(made: Made) -> Workflow:
    """Three at a time, by a ConfigMap's word; and a lock held for the whole workflow by few others."""
    held = {"semaphores": [{"configMapKeyRef": {"name": LIMITS, "key": "slots"}}]}
    inside = sh("inside", "sleep 0.5", synchronization=held)
    return steps(made, [[one("inside", withSequence={"count": "3"})], [one("nap")]], nap(made), inside)


def paused(made: Made) -> Workflow:
    """It waits until somebody resumes it."""
    wait = {"name": "wait", "suspend": {}}
    return steps(made, [[one("nap")], [one("wait")], [one("again", "nap")]], nap(made), wait, TIDY, onExit="tidy")


def waiting(made: Made) -> Workflow:
    """It waits a while by itself."""
    return steps(made, [[one("nap")], [one("wait")]], nap(made), {"name": "wait", "suspend": {"duration": f"{int(made.nap) + 1}"}})


def artifacts(made: Made) -> Workflow:
    """A file made, kept, and read again; it goes with the workflow."""
    load = {"name": "load", "path": f"{made.place}/load"}
    make = sh("make", f"mkdir -p {made.place}; seq 20000 >{made.place}/load; sleep {made.nap:.1f}", outputs={"artifacts": [load]})
    look = sh("look", f'[ "$(wc -l <{made.place}/got)" = 20000 ]')
    look["inputs"] = {"artifacts": [{"name": "load", "path": f"{made.place}/got"}]}
    given = {"artifacts": [{"name": "load", "from": "{{steps.make.outputs.artifacts.load}}"}]}
    return steps(made, [[one("make")], [one("look", arguments=given)]], make, look, artifactGC={"strategy": "OnWorkflowDeletion"})


def http(made: Made) -> Workflow:
    """Requests."""
    ask = {"name": "ask", "http": {"url": made.url, "method": "GET", "successCondition": "response.statusCode == 200"}}
    return steps(made, [[one("nap")], [one("ask", withSequence={"count": "4"})], [one("again", "nap")]], nap(made), ask)


def called(made: Made) -> Workflow:
    """A template in force, called by name."""
    return {**subject.workflow(made.name, []), "spec": {"workflowTemplateRef": {"name": "soak-called"}}}


def hooks(made: Made) -> Workflow:
    """Hooks of a step and of the workflow."""
    running = {"running": {"expression": 'workflow.status == "Running"', "template": "tidy"}}
    return steps(made, [[one("nap", hooks={"exit": {"template": "tidy"}})]], nap(made), TIDY, hooks=running, onExit="tidy")


def pod(made: Made) -> Workflow:
    """Two containers in one place."""
    containers = [
        {"name": "one", "image": "busybox", "command": ["sh", "-c", f"sleep {made.nap:.1f}"]},
        {"name": "main", "image": "busybox", "command": ["sh", "-c", "echo done"], "dependencies": ["one"]},
    ]
    return steps(made, [[one("pod")]], {"name": "pod", "containerSet": {"containers": containers}})


def brief(made: Made) -> Workflow:
    """Its pods are deleted at once, and it soon after its end."""
    again = {"secondsAfterCompletion": 5}
    return steps(made, [[one("nap")], [one("again", "nap")]], nap(made), ttlStrategy=again, podGC={"strategy": "OnPodCompletion"})


def loud(made: Made) -> Workflow:
    """It prints more than is kept in a run's pack, and leaves something in its home."""
    return steps(made, [[one("loud")], [one("nap")]], nap(made), sh("loud", 'seq 60000; echo kept >"$HOME/kept"'))


CHECK = "[ {{inputs.parameters.number}} = 42 ] && [ {{inputs.parameters.said}} = seen ]"


def script(made: Made) -> Workflow:
    """A result is handed on, an output parameter too."""
    make = sh("make", f"mkdir -p {made.place}; sleep {made.nap:.1f}; echo 42 >{made.place}/n; echo seen")
    make["outputs"] = {"parameters": [{"name": "number", "valueFrom": {"path": f"{made.place}/n"}}]}
    take = {"name": "take", "inputs": {"parameters": [{"name": "number"}, {"name": "said"}]}}
    take["script"] = {
        "image": "busybox",
        "command": ["sh"],
        "source": "[ {{inputs.parameters.number}} = 42 ] && [ {{inputs.parameters.said}} = seen ]",
    }
    values = [("number", "{{steps.make.outputs.parameters.number}}"), ("said", "{{steps.make.outputs.result}}")]
    given = {"parameters": [{"name": name, "value": value} for name, value in values]}
    return steps(made, [[one("make")], [one("take", arguments=given)]], make, take)


def endless(made: Made) -> Workflow:
    """It goes on until somebody ends it."""
    return steps(made, [[one("nap")], [one("long")]], nap(made), sh("long", "sleep 900"), TIDY, onExit="tidy")


def refused(made: Made) -> Workflow:
    """No workflow at all: it is rejected."""
    return steps(made, [[one("nowhere")]])


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of workflow. `verb`: what somebody has to ask of it, or it never ends. `phase` "": it is refused."""

    make: Callable[[Made], Workflow]
    phase: str = "Succeeded"
    verb: str = ""
    often: int = 2

    @property
    def name(self) -> str:
        """The name of its function, and what is asked of it."""
        return f"{self.make.__name__}{'-' * bool(self.verb)}{self.verb}"


SHAPES = (
    Shape(make=diamond, often=4),
    Shape(make=loop, often=3),
    Shape(make=retries, often=4),
    Shape(make=failing, phase="Failed", often=3),
    Shape(make=late, phase="Failed"),
    Shape(make=mutex),
    Shape(make=semaphore),
    Shape(make=paused, verb="resume", often=4),
    Shape(make=waiting),
    Shape(make=artifacts, often=3),
    Shape(make=http, often=4),
    Shape(make=called),
    Shape(make=hooks, often=3),
    Shape(make=pod),
    Shape(make=brief, often=3),
    Shape(make=loud, often=1),
    Shape(make=script),
    Shape(make=endless, phase="Failed", verb="stop"),
    Shape(make=endless, phase="Failed", verb="terminate"),
    Shape(make=refused, phase="", often=1),
)
CRON = "soak-minutely"


def definitions() -> list[Workflow]:
    """What stays in force: a template, a semaphore's limit, and a cron workflow for each minute."""
    made = Made(name="", nap=4.0, url="", place="")
    template = steps(made, [[one("nap")], [one("again", "nap")]], nap(made), TIDY, onExit="tidy")
    cron: Workflow = {
        "schedules": ["* * * * *"],
        "concurrencyPolicy": "Allow",
        "successfulJobsHistoryLimit": 3,
        "workflowSpec": steps(made, [[one("nap")]], nap(made))["spec"],
    }
    version = "argoproj.io/v1alpha1"
    return [
        {"apiVersion": version, "kind": "WorkflowTemplate", "metadata": {"name": "soak-called"}, "spec": template["spec"]},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": LIMITS}, "data": {"slots": "3"}},
        {"apiVersion": version, "kind": "CronWorkflow", "metadata": {"name": CRON}, "spec": cron},
    ]


def chosen(chance: random.Random) -> Shape:
    """A shape, each as often as it says."""
    return chance.choices(SHAPES, weights=[shape.often for shape in SHAPES])[0]


def made(shape: Shape, name: str, chance: random.Random, *, url: str, place: str) -> Workflow:
    """A workflow of that shape, with its name as a label."""
    built = shape.make(Made(name=name, nap=chance.uniform(3.0, 15.0), url=url, place=place))
    built["metadata"] = {"name": name, "labels": {LABEL: name}}
    built["spec"].setdefault("ttlStrategy", {"secondsAfterCompletion": chance.randint(15, 120)})  # type: ignore[attr-defined]
    return built
