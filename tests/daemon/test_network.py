"""A daemon that is asked over TCP: it lets nobody in unasked, knows tokens from the moment they are made, and renews its certificate."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys

import pytest

from tests.certified import certified
from tests.daemon.running import TOP, Tiphysd, until

HELLO = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"name": "hello"},
    "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "busybox", "command": ["echo", "hello"]}}]},
}


def typed(tiphysd: Tiphysd, *words: str) -> subprocess.CompletedProcess[str]:
    """What a command of tiphysd says."""
    return subprocess.run(
        [sys.executable, "-m", "tiphys.tiphysd", "--config", tiphysd.top / "tiphys.yaml", *words],
        env={**os.environ, "PYTHONPATH": str(TOP / "daemon")},
        capture_output=True,
        text=True,
        check=False,
    )


def token(tiphysd: Tiphysd, *words: str) -> str:
    """A new token, as an operator makes it."""
    made = typed(tiphysd, "token", "create", *words)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Caller:
    """One who asks over TCP."""

    def __init__(self, port: int, shown: str = "", trust: ssl.SSLContext | None = None) -> None:
        self.port, self.shown, self.trust = port, shown, trust

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """Status and text."""
        made = http.client.HTTPSConnection("localhost", self.port, context=self.trust, timeout=20) if self.trust else None
        connection = made or http.client.HTTPConnection("localhost", self.port, timeout=20)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.shown}"} if self.shown else {})}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def test_it_does_not_start_where_strangers_could_come_in(tiphysd, tmp_path):
    tiphysd.configure(server={"listen": "0.0.0.0:0"})
    made = tiphysd.refused(tiphysd.top / "tiphys.yaml")
    assert made.returncode == 2
    assert (
        "can be reached from elsewhere, and there is not a certificate (server.tls_certificate, server.tls_key) nor a token" in made.stderr
    )
    assert "Traceback" not in made.stderr
    token(tiphysd, "--scope", "read")
    made = tiphysd.refused(tiphysd.top / "tiphys.yaml")
    assert made.returncode == 2
    assert "and there is not a certificate (server.tls_certificate, server.tls_key)\n" in made.stderr
    files = certified(tmp_path)
    tiphysd.configure(server={"listen": "0.0.0.0:0", "tls_certificate": str(files.chain), "tls_key": str(files.authority)})
    made = tiphysd.refused(tiphysd.top / "tiphys.yaml")
    assert (made.returncode, "no certificate with its key in PEM form" in made.stderr) == (2, True), made.stderr
    tiphysd.configure(server={"listen": "0.0.0.0:0", "tls_certificate": str(files.chain), "tls_key": str(files.key)})
    tiphysd.start()
    assert [line["tls"] for line in tiphysd.told("listening")] == [True]


def test_tokens_are_made_and_revoked_while_it_runs(tiphysd):
    port = free_port()
    tiphysd.configure(server={"listen": f"127.0.0.1:{port}"})
    tiphysd.start()
    assert Caller(port).ask("GET", "/api/v1/version")[0] == 401
    shown = token(tiphysd, "--scope", "submit", "--name", "ci", "--expires", "30d")
    caller = Caller(port, shown)
    assert caller.ask("GET", "/api/v1/userinfo") == (200, '{"subject":"token:ci","name":"ci"}')
    assert caller.ask("POST", "/api/v1/workflows/default", {"workflow": HELLO})[0] == 200
    tiphysd.ended("hello")
    assert caller.ask("DELETE", "/api/v1/workflows/default/hello")[0] == 403
    listed = typed(tiphysd, "token", "list").stdout.splitlines()
    assert listed[0].split() == ["NAME", "SCOPE", "CREATED", "EXPIRES"]
    assert listed[1].split()[:2] == ["ci", "submit"]
    assert shown not in "".join(listed)
    assert shown not in tiphysd.log
    assert shown.encode() not in b"".join(path.read_bytes() for path in tiphysd.state.iterdir() if path.is_file())
    assert typed(tiphysd, "token", "revoke", "ci").stdout == "ci: revoked\n"
    assert caller.ask("GET", "/api/v1/version")[0] == 401
    assert (tiphysd.state / "tokens.json").stat().st_mode & 0o777 == 0o600


def test_a_renewed_certificate_is_shown_after_a_reload_and_a_broken_one_is_not(tiphysd, tmp_path):
    port = free_port()
    files = certified(tmp_path / "tls")
    old = ssl.create_default_context(cafile=str(files.authority))
    tiphysd.configure(server={"listen": f"127.0.0.1:{port}", "tls_certificate": str(files.chain), "tls_key": str(files.key)})
    tiphysd.start()
    shown = token(tiphysd, "--scope", "read")
    assert Caller(port, shown, old).ask("GET", "/api/v1/version")[0] == 200
    files = certified(tmp_path / "tls")  # another authority's, at the same place
    new = ssl.create_default_context(cafile=str(files.authority))
    tiphysd.process.send_signal(signal.SIGHUP)
    until(lambda: tiphysd.told("settings reloaded"), "the reload")
    assert Caller(port, shown, new).ask("GET", "/api/v1/version")[0] == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        Caller(port, shown, old).ask("GET", "/api/v1/version")
    files.key.write_text("nothing")
    tiphysd.process.send_signal(signal.SIGHUP)
    until(lambda: tiphysd.told("certificate not renewed"), "the refusal")
    assert Caller(port, shown, new).ask("GET", "/api/v1/version")[0] == 200


def test_limits_are_reloaded_and_what_must_wait_is_said(tiphysd):
    port = free_port()
    tiphysd.configure(server={"listen": f"127.0.0.1:{port}"})
    tiphysd.start()
    caller = Caller(port, token(tiphysd, "--scope", "read"))
    assert caller.ask("GET", "/api/v1/version")[0] == 200
    tiphysd.configure(server={"listen": f"127.0.0.1:{free_port()}", "rate_per_second": 0.1, "burst": 1})
    tiphysd.process.send_signal(signal.SIGHUP)
    (line,) = until(lambda: tiphysd.told("settings reloaded"), "the reload")
    assert line["waits_for_restart"] == ["server.listen"]
    assert caller.ask("GET", "/api/v1/version")[0] == 200
    assert caller.ask("GET", "/api/v1/version")[0] == 429


HANDING = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: hello}
spec:
  entrypoint: main
  templates:
    - name: main
      container: {image: busybox, command: [sh, -c, "mkdir %(out)s && echo inner >%(out)s/file"]}
      outputs: {artifacts: [{name: out, path: %(out)s, archive: {none: {}}}]}
"""
NAMES = ["..%2f..%2ftokens.json", "%2e%2e/%2e%2e/tokens.json", "..", "%00", "..%5c..", "a%0ab", "%2fetc%2fpasswd", "~", "etc%2fpasswd"]


def test_no_name_leads_out_of_its_place(tiphysd):
    port = free_port()
    tiphysd.configure(server={"listen": f"127.0.0.1:{port}"})
    tiphysd.start().drop("hello.yaml", HANDING % {"out": tiphysd.shared / "out"})
    caller = Caller(port, token(tiphysd, "--scope", "admin"))
    tiphysd.ended("hello")
    files = "/artifact-files/default/workflows/hello/hello/outputs"
    assert caller.ask("GET", f"{files}/out/file") == (200, "inner\n")
    for name in NAMES:
        for path in (
            f"/api/v1/workflows/default/{name}",
            f"/api/v1/workflows/default/{name}/log",
            f"/api/v1/workflows/default/hello/{name}/log",
            f"/api/v1/workflows/default/hello/log?podName={name}",
            f"/api/v1/workflow-templates/default/{name}",
            f"/artifacts/default/hello/hello/{name}",
            f"/artifacts/default/hello/{name}/out",
            f"/artifacts/default/{name}/hello/out",
            f"/artifacts-by-uid/{name}/hello/out",
            f"/input-artifacts/default/hello/hello/{name}",
            f"{files}/{name}",
            f"{files}/out/{name}",
            f"{files}/out/file/{name}",
            f"{files}/out/etc/{name}",
        ):
            status, text = caller.ask("GET", path)
            assert status < 500, (path, text)
            assert "sha256" not in text, path
            assert "root:" not in text, path
    assert "root:" not in caller.ask("GET", f"{files}/out/etc/passwd")[1]
