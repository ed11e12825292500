"""The command line over the network, TLS with a token, in Argo's own words; and what it needs where no daemon is asked."""

import socket
import subprocess
import sys

import pytest

from tests.certified import certified
from tests.daemon.running import Tiphysd
from tiphys import app
from tiphys.cli import reaching
from tiphys.cli.errors import BadInput
from tiphys.service import tokens

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: hello}
spec:
  entrypoint: main
  templates:
    - name: main
      container: {image: any, command: [echo, hello]}
"""
VARIABLES = ("SERVER", "TOKEN", "SECURE", "INSECURE_SKIP_VERIFY", "BASE_HREF", "NAMESPACE", "HTTP1")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TIPHYS_CONFIG", "TIPHYS_SOCKET", "SSL_CERT_FILE", *(f"ARGO_{name}" for name in VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def says(capsys):
    def typed(*words, code=0) -> tuple[str, str]:
        found = app.main(words)
        out, err = capsys.readouterr()
        assert found == code, (out, err)
        return out, err

    return typed


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    top = tmp_path_factory.mktemp("daemon")
    files = certified(top / "tls")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    made = Tiphysd(top=top)
    made.configure(server={"listen": f"localhost:{port}", "tls_certificate": str(files.chain), "tls_key": str(files.key)})
    made.start()
    yield made, port, files, tokens.create(made.state / "tokens.json", tokens.Scope.SUBMIT)[0]
    made.clear()


def test_a_workflow_is_started_and_followed_over_tls(daemon, says, monkeypatch, tmp_path):
    _, port, files, token = daemon
    monkeypatch.setenv("ARGO_SERVER", f"localhost:{port}")
    monkeypatch.setenv("ARGO_TOKEN", f"Bearer {token}")
    monkeypatch.setenv("ARGO_HTTP1", "true")
    monkeypatch.setenv("ARGO_NAMESPACE", "afar")
    _, err = says("list", code=1)
    assert f"the certificate of localhost:{port} is not trusted (" in err
    monkeypatch.setenv("SSL_CERT_FILE", str(files.authority))
    (tmp_path / "wf.yaml").write_text(MANIFEST)
    assert says("submit", "wf.yaml", "-o", "name")[0] == "hello\n"
    assert says("wait", "hello")[0].startswith("hello Succeeded at ")
    assert says("logs", "hello", "-f")[0] == "hello: hello\n"
    assert says("list", "-o", "name", "-n", "default")[0] == ""
    assert says("auth", "token")[0] == f"Bearer {token}\n"
    _, err = says("delete", "hello", code=1)
    assert "admin" in err
    assert says("list", "-o", "name", "--token", token)[0] == "hello\n"
    _, err = says("list", "--token", "nobody", code=1)
    assert "token" in err
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("ARGO_INSECURE_SKIP_VERIFY", "true")
    assert says("list", "-o", "name")[0] == "hello\n"


def test_what_does_not_answer_is_said_with_its_cure(daemon, says, monkeypatch):
    made, port, _, token = daemon
    _, err = says("list", "-s", f"localhost:{port}", "-k", "--token", token, "--secure=false", code=1)
    assert "hung up" in err or "HTTPS" in err or "status 400" in err
    assert says("list", "-s", f"localhost:{port}", "-k", "-e", "--token", token, "-o", "name", "-n", "none")[0] == ""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        _, err = says("list", "-s", f"127.0.0.1:{one.getsockname()[1]}", code=1)
    assert "is it tiphysd's setting server.listen?" in err
    _, err = says("list", "-s", "localhost", code=2)
    assert "--server is 'localhost'; it is HOST:PORT" in err
    _, err = says("list", "-s", f"localhost:{port}", "--socket", str(made.socket), code=2)
    assert "give one of them" in err
    monkeypatch.setenv("TIPHYS_SOCKET", str(made.socket))
    monkeypatch.setenv("ARGO_SERVER", "nowhere.invalid:1")
    assert says("health")[0] == "ok\n"
    _, err = says("auth", "token", code=1)
    assert "there is no token" in err


def test_words_of_the_environment_are_read_as_argo_reads_them():
    def way(typed=None, **environ):
        return reaching.named(typed or reaching.Typed(), {f"ARGO_{name}": value for name, value in environ.items()})

    assert way() is None
    assert way(SERVER="a:1") == reaching.Network(host="a", port=1)
    assert str(way(SERVER="[::1]:2746")) == "[::1]:2746"
    plain = way(SERVER="a:1", SECURE="false", BASE_HREF="/argo/", TOKEN="bearer x")
    assert (plain.secure, plain.base, dict(plain.headers)) == (False, "/argo", {"Authorization": "Bearer x"})
    assert way(reaching.Typed(secure=True), SERVER="a:1", SECURE="0").secure
    for wrong in ({"SERVER": "http://a:1"}, {"SERVER": "a:0"}, {"SERVER": "a:1", "SECURE": "maybe"}, {"SERVER": "a:1", "TOKEN": "a\nb"}):
        with pytest.raises(BadInput):
            way(**wrong)


SAID = "import sys; from tiphys import __main__ as main; code = main.tiphys(); print(*sys.modules, file=sys.stderr); sys.exit(code)"
HEAVY = frozenset({"click", "rich", "msgspec", "yaml", "anyio", "asyncio", "http.client", "ssl", "tiphys.app", "tiphys.spec"})


@pytest.mark.parametrize(
    ("words", "may"),
    [
        (["--version"], set()),
        (["version", "--short"], set()),
        (["--help"], {"click"}),
        (["cron", "list", "--help"], {"click"}),
        (["completion", "bash"], {"click"}),
    ],
    ids=" ".join,
)
def test_what_needs_no_daemon_imports_nothing_heavy(words, may):
    made = subprocess.run([sys.executable, "-c", SAID, *words], capture_output=True, text=True, check=True)
    assert not (HEAVY - may) & set(made.stderr.split())
    assert made.stdout


def test_the_version_is_said_with_hardly_more_than_a_bare_interpreter():
    bare = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    made = subprocess.run([sys.executable, "-c", SAID, "--version"], capture_output=True, text=True, check=True)
    assert len(set(made.stderr.split()) - set(bare.stdout.split())) < 12
