"""OnTransientError goes by the operator's own pattern, too (semantics 2.9)."""

import pytest

from tests.scheduler import story
from tiphys.scheduler.items import Rules

SPEC = """
entrypoint: main
templates:
- {name: main, retryStrategy: {limit: 1, retryPolicy: OnTransientError}, container: {image: i, command: [work]}}
"""


@pytest.mark.parametrize(("message", "attempts"), [("disk busy (17)", 2), ("disk gone", 1)])
def test_a_failure_that_the_operators_pattern_finds_is_retried(message: str, attempts: int) -> None:
    told = story.Story(SPEC)
    told.state.shared.rules = Rules(transient_pattern=r"busy \(\d+\)")
    told.tell("submitted")
    told.tell(f'ran wf(0) failed "message={message}"')
    assert len([name for name in told.run.ids if name.startswith("wf(")]) == attempts
