"""What is imported before it is needed makes every start slower and every idle daemon larger: it stays out."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPORT = "import atexit, json, sys; atexit.register(lambda: print(json.dumps([*sys.modules]), file=sys.stderr))"
DAEMON = "from tiphys import tiphysd\ntiphysd.import_structlog()\nimport tiphys.daemon"


def modules(code: str, *arguments: str, settings: Path | None = None) -> set[str]:
    """The modules that a program has imported when it ends."""
    environ = {**os.environ, **({"TIPHYS_CONFIG": str(settings)} if settings else {})}
    ended = subprocess.run([sys.executable, "-c", f"{REPORT}\n{code}", *arguments], capture_output=True, text=True, check=True, env=environ)
    return set(json.loads(ended.stderr.splitlines()[-1]))


def test_a_daemon_does_not_hold_what_most_never_need():
    found = modules(f"{DAEMON}\ntiphys.daemon._import_entrances()")
    assert not found & {"rich", "pygments", "click", "re2", "tarfile", "zipfile", "difflib", "aiobotocore", "tiphys.cli.run"}
    assert {"structlog", "aiohttp.web", "tiphys.server.serving"} <= found


def test_a_daemon_goes_on_with_the_work_of_before_without_what_only_new_work_comes_in_by():
    found = modules(DAEMON)
    assert "tiphys.engine.engine" in found
    assert not found & {"aiohttp", "asyncinotify", "tiphys.server", "tiphys.triggers"}


def test_a_foreground_run_imports_neither_the_other_commands_nor_what_it_does_not_use(tmp_path):
    (tmp_path / "settings.yaml").write_text(f"state_directory: {tmp_path}/state\nprocess: {{isolation: none}}\n")
    work = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "busybox", "command": ["true"]}}]}
    made = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "one"}, "spec": work}
    (tmp_path / "one.yaml").write_text(json.dumps(made))
    code = "import sys\nfrom tiphys.__main__ import tiphys\nassert tiphys() == 0"
    found = modules(code, "run", str(tmp_path / "one.yaml"), settings=tmp_path / "settings.yaml")
    assert not found & {"rich", "structlog", "aiohttp", "re2", "tarfile", "email.utils", "importlib.resources", "tiphys.cli.control"}
    assert "tiphys.cli.run" in found


def test_the_settings_and_the_expressions_are_imported_without_compiling_classes():
    code = "import dataclasses\ndataclasses.dataclass = None\nimport tiphys.settings, tiphys.expressions.expr.tree, tiphys.cli.requests"
    assert "tiphys.cli.requests" in modules(code)


def test_a_structlog_that_was_imported_without_rich_leaves_rich_to_others():
    assert "rich" in modules("from tiphys import tiphysd\ntiphysd.import_structlog()\nimport rich")
