"""The Tab key: each shell reads its script, names come from the daemon, and nothing is said where there is none."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.cli.test_client import daemon, file
from tests.server.serving import workflow
from tests.server.test_workflows import TEMPLATES
from tiphys import app


def offered(*words: str, **environ: str) -> list[str]:
    """What bash is offered for the last of the words."""
    made = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['tiphys']; from tiphys import __main__ as main; sys.exit(main.tiphys())"],
        env={
            **os.environ,
            **environ,
            "COMP_WORDS": " ".join(["tiphys", *words]),
            "COMP_CWORD": str(len(words)),
            "_TIPHYS_COMPLETE": "bash_complete",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert not made.stderr
    return [line.partition(",")[2] for line in made.stdout.splitlines() if line]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TIPHYS_SOCKET", str(tmp_path / "api.sock"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TIPHYS_CONFIG", "ARGO_NAMESPACE", "ARGO_SERVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_are_those_of_the_daemon(place):
    with daemon(place / "api.sock") as (portal, server):
        portal.call(server.define, TEMPLATES)
        for name in ("hello", "help", "other"):
            assert app.main(["submit", file(place, workflow()), "--name", name]) == 0
        assert offered("get", "hel") == ["help", "hello"]
        assert offered("get", "other", "@") == ["@latest"]
        assert offered("get", "-n", "elsewhere", "hel") == []
        assert offered("submit", "--from", "workfl") == ["workflowtemplate/"]
        assert offered("submit", "--from", "workflowtemplate/") == ["workflowtemplate/greet"]
        assert offered("template", "get", "") == ["greet"]
        assert offered("resu") == ["resubmit", "resume"]


def test_a_daemon_that_is_away_offers_nothing(place):
    assert offered("get", "hel") == []
    assert offered("get", "hel", TIPHYS_SOCKET="", ARGO_SERVER="nonsense") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_reads_its_script(place, capsys, shell):
    assert app.main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "_TIPHYS_COMPLETE=" in text
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    subprocess.run([shell, "-n"], input=text, text=True, check=True)
