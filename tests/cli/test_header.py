"""The block above the tree."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.cli.samples import node, workflow
from tiphys.cli import header, times
from tiphys.spec.artifacts import S3, Artifact
from tiphys.spec.parameters import KeySelector, Parameter
from tiphys.spec.status import Condition, Phase
from tiphys.spec.templates import Arguments, Outputs
from tiphys.spec.workflows import ARGO_API_VERSION, ObjectMeta, Workflow

NOW = datetime(2026, 1, 2, 15, 6, 5, tzinfo=UTC)


def test_a_whole_header() -> None:
    flow = workflow(
        node("wf"),
        phase="Failed",
        message="child failed",
        arguments=Arguments(parameters=(Parameter(name="fail", value="yes"), Parameter(name="unset"))),
    )
    status = msgspec.structs.replace(
        flow.status,
        conditions=(Condition(type="PodRunning", status="False"), Condition(type="SpecWarning", status="True", message="old field")),
        resources_duration={"cpu": 7},
        outputs=Outputs(
            parameters=(Parameter(name="warm", value="2 of 5"),),
            artifacts=(Artifact(name="a", path="/x", s3=S3(bucket="b", key="k/a.tgz", access_key_secret=KeySelector(name="s", key="k"))),),
        ),
    )
    assert header.lines(msgspec.structs.replace(flow, status=status), NOW) == [
        "Name:                wf",
        "Namespace:           default",
        "ServiceAccount:      unset (will run with the default ServiceAccount)",
        "Status:              Failed",
        "Message:             child failed",
        "Conditions:",
        " PodRunning          False",
        "⚠ SpecWarning        old field",
        "Created:             Fri Jan 02 15:04:05 +0000 (2 minutes ago)",
        "Started:             Fri Jan 02 15:04:05 +0000 (2 minutes ago)",
        "Finished:            Fri Jan 02 15:05:08 +0000 (57 seconds ago)",
        "Duration:            1 minute 3 seconds",
        "Progress:            1/1",
        "ResourcesDuration:   7s*(1 cpu)",
        "Parameters:",
        "  fail:              yes",
        "Output Parameters:",
        "  warm:              2 of 5",
        "Output Artifacts:",
        '  a:                 {"s3":{"bucket":"b","key":"k/a.tgz"}}',
    ]


def test_words_for_states_that_are_no_phase() -> None:
    waiting = node("wf", "Suspend", "Running", took=None)
    assert header.status_word(workflow(waiting, phase="Running")) == "Running (Suspended)"
    assert header.status_word(workflow(node("wf"), phase="Running")) == "Running"
    assert header.status_word(workflow(node("wf"), phase="Running", suspend=True)) == "Running (Suspended)"
    assert header.status_word(workflow(node("wf"), phase="Failed", shutdown="Stop")) == "Failed (Terminated)"
    assert header.status_word(Workflow(api_version=ARGO_API_VERSION, metadata=ObjectMeta(name="wf"))) == "Pending"
    assert Phase("") is Phase.UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "short", "spoken"),
    [
        (0, "0s", "0 seconds"),
        (1, "1s", "1 second"),
        (59.9, "59s", "59 seconds"),
        (60, "1m", "1 minute"),
        (63, "1m", "1 minute 3 seconds"),
        (3599, "59m", "59 minutes 59 seconds"),
        (3600, "1h", "1 hour"),
        (7261, "2h", "2 hours 1 minute"),
        (86400, "1d", "1 day"),
        (93784, "1d", "1 day 2 hours"),
    ],
)
def test_durations(seconds: float, short: str, spoken: str) -> None:
    assert times.short(seconds) == short
    assert times.spoken(seconds) == spoken


def test_a_duration_that_has_not_begun_is_empty() -> None:
    assert times.short(times.seconds(None, None, NOW)) == ""


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (0, "now"),
        (1, "1 second ago"),
        (-90, "1 minute from now"),
        (8 * 86400, "1 week ago"),
        (45 * 86400, "1 month ago"),
        (400 * 86400, "1 year ago"),
    ],
)
def test_ages(gap: int, text: str) -> None:
    assert times.ago(NOW - timedelta(seconds=gap), NOW) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (63, "1m3s"), (3600, "1h0m0s")])
def test_durations_as_go_prints_them(seconds: int, text: str) -> None:
    assert times.go(seconds) == text
