"""The corpus' own runner, with an engine that can also act on a workflow while it runs: through a daemon's socket, as an operator would.

    python tests/conformance/acting.py CORPUS [options of its runner]

Rows without actions go the usual way, `tiphys run`; those with actions are submitted to one real daemon.
"""

import contextlib
import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

import yaml

LINT, RUN = "tiphys lint {file} {support}", "tiphys run {file} -o json {params} {support}"
LOOK_SECONDS = 0.05
START_SECONDS = 30


class Connection(http.client.HTTPConnection):
    """HTTP over the daemon's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class Daemon:
    """A real tiphysd in a place of its own, started when it is first needed."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.top = tempfile.TemporaryDirectory()
        self.environ = environ
        self.path = Path(self.top.name, "api.sock")
        self.process: subprocess.Popen | None = None
        self.lock = threading.Lock()

    def start(self) -> None:
        with self.lock:
            if self.process is not None:
                return
            given = Path(self.environ.get("TIPHYS_CONFIG", ""))
            settings = yaml.safe_load(given.read_text()) if given.is_file() else {}
            settings |= {"state_directory": f"{self.top.name}/state", "daemon": {"socket": str(self.path), "log_level": "warning"}}
            config = Path(self.top.name, "tiphys.yaml")
            config.write_text(json.dumps(settings))
            words = [sys.executable, "-m", "tiphys.tiphysd", "--config", str(config)]
            self.process = subprocess.Popen(words, env=self.environ, stdin=subprocess.DEVNULL)
            end = time.monotonic() + START_SECONDS
            while time.monotonic() < end and self.process.poll() is None:
                with contextlib.suppress(OSError):
                    if self.ask("GET", "/healthz", plain=True) == "ok":
                        return
                time.sleep(LOOK_SECONDS)
            raise RuntimeError("the daemon does not start")

    def ask(self, method: str, path: str, body: object = None, *, plain: bool = False, text: str = "") -> object:
        """An answer's JSON. Raises ValueError with the message of a refusal."""
        connection = Connection(self.path)
        data = text or (json.dumps(body) if body is not None else None)
        connection.request(method, path, data, {"Content-Type": "application/yaml" if text else "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode()
        connection.close()
        if plain:
            return said
        if answer.status >= 300:
            raise ValueError(json.loads(said).get("message", said))
        return json.loads(said)

    def end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(START_SECONDS)
        self.top.cleanup()


def engine_of(runner, shims: str):
    """The engine, over the classes of the corpus' runner."""

    class Acting(runner.CommandEngine):
        capabilities = frozenset({"actions"})

        def __init__(self) -> None:
            super().__init__(LINT, RUN, shims)
            self.daemon = Daemon(self.env)

        def run_with_actions(self, path, params, actions, timeout):
            self.daemon.start()
            text = Path(path).read_text(encoding="utf-8")
            if params:
                documents = [document for document in yaml.safe_load_all(text) if document]
                arguments = documents[-1]["spec"].setdefault("arguments", {})
                kept = [one for one in arguments.get("parameters", []) if one["name"] not in params]
                arguments["parameters"] = kept + [{"name": name, "value": value} for name, value in params.items()]
                text = yaml.safe_dump_all(documents)
            try:
                made = self.daemon.ask("POST", "/api/v1/workflows/default", text=text)
            except ValueError as refusal:
                raise runner.Refused(str(refusal)) from refusal
            place = f"/api/v1/workflows/default/{quote(made['metadata']['name'])}"
            end = time.monotonic() + timeout
            todo = list(actions)
            while time.monotonic() < end:
                workflow = self.daemon.ask("GET", place)
                nodes = (workflow.get("status", {}).get("nodes") or {}).values()
                for action in [one for one in todo if any(met(one["when"], node) for node in nodes)]:
                    self.act(place, action)
                    todo.remove(action)
                if workflow.get("status", {}).get("phase") in {"Succeeded", "Failed", "Error"}:
                    return workflow
                time.sleep(LOOK_SECONDS)
            raise TimeoutError(f"no end after {timeout} s")

        def act(self, place: str, action: dict) -> None:
            selector = f"displayName={action['when']['node']}"
            if action.get("outputs"):
                body = {"nodeFieldSelector": selector, "outputParameters": json.dumps(action["outputs"])}
                self.daemon.ask("PUT", f"{place}/set", body)
            self.daemon.ask("PUT", f"{place}/{action['do']}", {"nodeFieldSelector": selector} if action["do"] == "resume" else {})

    return Acting()


def met(when: dict, node: dict) -> bool:
    """Whether a node is as an action waits for it."""
    return node.get("displayName") == when["node"] and node.get("phase") == when["phase"]


def main(arguments: list[str]) -> int:
    """Run the corpus' runner with our engine; its exit code."""
    corpus, *options = arguments
    place = Path(corpus).resolve()
    spec = importlib.util.spec_from_file_location("run_conformance", place / "run_conformance.py")
    assert spec is not None
    assert spec.loader is not None
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    os.chdir(place)
    engine = engine_of(runner, str(place / "shims"))
    try:
        return runner.main(options, engine)
    finally:
        engine.daemon.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
