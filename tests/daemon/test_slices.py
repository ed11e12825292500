"""What is too much for one decision is done in slices: a daemon that is killed between any two of them goes on to the same end."""

import contextlib
import http.client
from collections import Counter

import pytest

from tests.bench import subject
from tests.daemon.running import Tiphysd, until
from tiphys.spec.status import Phase

ITEMS = 350
WITHIN_SECONDS = 90.0


def workflow(witness: str) -> dict[str, object]:
    """A loop whose steps print, another one over what they printed, and a task that gets all that those printed; each says that it ran."""
    given = [{"name": "text", "value": "{{item}}"}]
    last = [{"name": "text", "value": "{{tasks.again.outputs.result}}"}]
    each = {"name": "each", "template": "say", "withSequence": {"count": str(ITEMS)}, "arguments": {"parameters": given}}
    again = {"name": "again", "template": "say", "dependencies": ["each"], "withParam": "{{tasks.each.outputs.result}}"}
    whole = {"name": "whole", "template": "whole", "dependencies": ["again"], "arguments": {"parameters": last}}
    tasks = [each, {**again, "arguments": {"parameters": given}}, whole]
    say = subject.command(
        "say", "sh", "-c", f"echo '{{{{tasks.name}}}}' >> {witness}; echo {{{{inputs.parameters.text}}}}", inputs=["text"]
    )
    take = subject.command("whole", "echo", "{{inputs.parameters.text}}", inputs=["text"])
    return subject.workflow("large", [{"name": "main", "dag": {"tasks": tasks}}, say, take])


@pytest.mark.parametrize("slices", [1, 2, 4, 6, 8])
def test_a_daemon_that_is_killed_between_slices_goes_on_to_the_same_end(tiphysd: Tiphysd, slices: int) -> None:
    witness = tiphysd.shared / "witness"
    tiphysd.settings = {"process": {"isolation": "none", "writable": [str(tiphysd.shared)], "parallelism": 8}}
    tiphysd.environ = {"TIPHYS_FAULT": f"between-slices:{slices}"}
    tiphysd.start(ready=False)
    subject.wait_until_ready(tiphysd)
    with contextlib.suppress(http.client.RemoteDisconnected):  # it may be killed before it answers
        subject.Subject(daemon=tiphysd).submit(workflow(str(witness)))

    def over() -> bool:
        """Whether the daemon was killed, or had too few slices to do for that."""
        assert tiphysd.process is not None
        run = tiphysd.run("large")
        return tiphysd.process.poll() is not None or (run is not None and run.phase.completed)

    until(over, "the first kill", WITHIN_SECONDS)
    tiphysd.environ = {"TIPHYS_FAULT": "between-slices:1"}
    tiphysd.start(ready=False)
    until(over, "the second kill", WITHIN_SECONDS)
    tiphysd.environ = {}
    if tiphysd.process is not None and tiphysd.process.poll() is not None:
        tiphysd.start()
    run = tiphysd.ended("large", WITHIN_SECONDS)
    assert run.phase is Phase.SUCCEEDED
    nodes = tiphysd.nodes(run)
    assert len(nodes) == 2 * ITEMS + 4
    assert all(node.phase is Phase.SUCCEEDED for node in nodes.values())
    assert nodes["large.whole"].inputs.parameters[0].value == "[" + ",".join(map(str, range(ITEMS))) + "]"
    assert set(Counter(witness.read_text(encoding="utf-8").split()).values()) == {1}
