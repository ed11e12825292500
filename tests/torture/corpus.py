"""The workflows that are tortured, and what each must have come to when all is over."""

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

SHAPES = Path(__file__).with_name("shapes")
LEAVES = ("container", "script", "http")
PATIENT = {"limit": 60, "retryPolicy": "OnError"}
"""What brings a step to its end where launchers are killed too: a step that was cut off is an Error."""

Counts = Mapping[str, tuple[int, int]]


def once(*labels: str) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(labels, (1, 1))


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A file of `shapes/`: the phase it ends in, and how often the steps of each label start, at least and at most.

    `verb`: what somebody has to ask for each run, or it goes on for ever. `runs`: how many it becomes. `beside`: the text of its
    file of parameters.
    """

    name: str
    starts: Callable[[Mapping[str, str]], Counts]
    phase: str = "Succeeded"
    requests: int = 0
    often: int = 1
    verb: str = ""
    runs: int = 1
    beside: str = ""


ALL = (
    Shape(name="diamond", starts=lambda _: once("a", "b", "c", "d"), often=2),
    Shape(name="loop", starts=lambda values: once(*(f"item-{i}" for i in range(int(values["width"]))), "last")),
    Shape(name="retries", starts=lambda _: {"try": (5, 5)}, often=2),
    Shape(name="mutex", starts=lambda _: {"one-inside": (3, 3)}, often=3),
    Shape(name="whole", starts=lambda _: {"one-whole": (2, 2)}, often=2),
    Shape(name="semaphore", starts=lambda _: {"two-slots": (5, 5)}, often=2),
    Shape(name="suspend", starts=lambda _: once("before", "after")),
    Shape(name="hooks", starts=lambda _: once("work", "worked", "exit") | {"begun": (0, 1), "working": (0, 1)}, often=2),
    Shape(name="failing", starts=lambda _: once("first", "bad", "exit"), phase="Failed", often=2),
    Shape(name="late", starts=lambda _: once("exit") | {"long": (0, 1)}, phase="Failed"),
    Shape(name="cut", starts=lambda _: once("exit") | {"cut": (0, 1)}, phase="Error", often=2),
    Shape(name="artifacts", starts=lambda _: once("make", "look", "plain"), often=2),
    Shape(name="http", starts=lambda _: once("after"), requests=3, often=2),
    Shape(name="brief", starts=lambda _: once("one", "two", "exit"), often=2),
    Shape(name="called", starts=lambda _: once("one", "exit")),
    Shape(name="stopped", starts=lambda _: once("exit") | {"long": (0, 1)}, phase="Failed", verb="stop"),
    Shape(name="terminated", starts=lambda _: {"long": (0, 1)}, phase="Failed", verb="terminate"),
    Shape(name="paused", starts=lambda _: once("before", "after", "exit"), verb="resume"),
    Shape(name="given", starts=lambda _: once("given-something"), beside="what: something\n"),
    Shape(name="broken", starts=lambda _: {}, runs=0),
    Shape(name="pair", starts=lambda _: once("pair"), runs=2),
)
CRONS = {"torture-allow": 0.0, "torture-forbid": 1.2}


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """A workflow that was put into the drop folder, or sent to the daemon's socket; `sure`: the daemon did not say no, or nothing."""

    name: str
    shape: Shape
    values: Mapping[str, str]
    by_socket: bool = False
    sure: bool = True

    @property
    def starts(self) -> Counts:
        return self.shape.starts(self.values)


def text(name: str, values: Mapping[str, str], *, patient: bool) -> str:
    """A file of `shapes/` with these values; `patient`: each step that is cut off is tried again."""
    written = string.Template((SHAPES / f"{name}.yaml").read_text(encoding="utf-8")).substitute(values)
    if not patient:
        return written
    documents = list(yaml.safe_load_all(written))
    for document in documents:
        spec = document.get("spec", {})
        for template in spec.get("workflowSpec", spec).get("templates", ()):
            if any(leaf in template for leaf in LEAVES):
                template.setdefault("retryStrategy", PATIENT)
    return yaml.safe_dump_all(documents)


def chosen(chance: random.Random, count: int) -> list[Shape]:
    """Some shapes, each as often as it says."""
    return chance.choices(ALL, weights=[shape.often for shape in ALL], k=count)
