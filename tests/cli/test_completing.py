"""The Tab key: each shell reads its script, names come from the daemon, and nothing is said where there is none."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.cli import shells
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
        assert offered("submit", "--from", "w") == ["workflowtemplate/", "wftmpl/"]
        assert offered("submit", "--from", "workfl") == ["workflowtemplate/greet"]
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


TYPED = (
    ("get oth\t", ["get", "other"]),
    ("get hel\tt\t", ["get", "hello-two"]),
    ("logs @\t", ["logs", "@latest"]),
    ("get -n default 'oth\t", ["get", "-n", "default", "other"]),
    ("template get gr\t", ["template", "get", "greet"]),
    ("submit --from workflowt\t", ["submit", "--from", "workflowtemplate/greet"]),
    ("submit -p a=b --from=workflowtemplate/g\t", ["submit", "-p", "a=b", "--from=workflowtemplate/greet"]),
    ("get --namespace=default oth\t", ["get", "--namespace=default", "other"]),
    ("get other --output=sh\t", ["get", "other", "--output=short"]),
    ("resub\t--memo\t", ["resubmit", "--memoized"]),
    ("submit wor\t", ["submit", "work.yaml"]),
    ("get nothing-beg\t", ["get", "nothing-beg"]),
)
"""What is typed, and what is run then."""


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_real_shell_completes_what_is_typed(place, name):
    if shutil.which(name) is None and os.environ.get("CI") != "true":
        pytest.skip(f"there is no {name}")
    work = file(place, workflow())
    (place / "work.yaml").write_text("{}", encoding="utf-8")
    with daemon(place / "api.sock") as (portal, server):
        portal.call(server.define, TEMPLATES)
        for one in ("hello-one", "hello-two", "other"):
            assert app.main(["submit", work, "--name", one]) == 0
        with shells.opened(name, place) as shell:
            for keys, ran in TYPED:
                assert shell.ran(f"tiphys {keys}\n") == ran, keys
            shell.type("tiphys get hello-\t\t")
            shell.wait_for("hello-one.*hello-two|hello-two.*hello-one")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_real_shell_is_not_disturbed_where_there_is_no_daemon(place, name):
    if shutil.which(name) is None and os.environ.get("CI") != "true":
        pytest.skip(f"there is no {name}")
    with shells.opened(name, place) as shell:
        assert shell.ran("tiphys get oth\t\n") == ["get", "oth"]
        assert shell.ran("tiphys submit --from workflowtemplate/g\t\n") == ["submit", "--from", "workflowtemplate/g"]
        assert "Error" not in shell.seen
