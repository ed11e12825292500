"""Each path that is served was asked over a Unix socket, and what was checked of it is said by name."""

import pytest

from tests.server import checks, checks_of_definitions, checks_of_events, checks_of_workflows
from tests.server.serving import served

assert checks_of_definitions
assert checks_of_events
assert checks_of_workflows


def test_every_path_is_checked():
    assert sorted(path for path in checks.every() if not any(path in check.paths for check in checks.TABLE)) == []
    assert sorted(path for check in checks.TABLE for path in check.paths if path not in checks.every()) == []


@pytest.mark.parametrize("check", checks.TABLE, ids=lambda check: check.name.replace(" ", "-"))
async def test_the_paths_answer_as_they_should(check, tmp_path):
    async with served(tmp_path / "api.sock", checks_of_workflows.SCRIPT) as opened:
        asked = checks.Asked()
        trace = asked.trace()
        trace.freeze()
        opened.session.trace_configs.append(trace)
        await check.run(opened)
        assert set(check.paths) <= asked.routes
