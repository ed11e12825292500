"""One real daemon for a module of tests, over TLS, with a token: as Argo's own clients meet an Argo Server elsewhere."""

import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.certified import certified
from tests.daemon.running import Tiphysd
from tiphys.service import tokens
from tiphys.service.tokens import Scope


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A daemon, and what a client must know of it."""

    tiphysd: Tiphysd
    url: str
    token: str
    authority: Path

    def another(self, scope: Scope) -> str:
        """A new token of a scope."""
        return tokens.create(self.tiphysd.state / "tokens.json", scope)[0]


@pytest.fixture(scope="module")
def reached(tmp_path_factory):
    top = tmp_path_factory.mktemp("daemon")
    files = certified(top / "tls")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    daemon = Tiphysd(top=top)
    listen = {"listen": f"localhost:{port}", "tls_certificate": str(files.chain), "tls_key": str(files.key)}
    daemon.configure(server=listen)
    daemon.start()
    token, _ = tokens.create(daemon.state / "tokens.json", Scope.ADMIN, name="client")
    yield Reached(tiphysd=daemon, url=f"https://localhost:{port}", token=token, authority=files.authority)
    daemon.clear()


class _Answers(BaseHTTPRequestHandler):
    """`/broken` is broken, everything else is fine."""

    def do_GET(self) -> None:
        broken = self.path == "/broken"
        body = b"broken" if broken else b"fine"
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def httpserver():
    """The URL of a server that HTTP templates can ask."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
