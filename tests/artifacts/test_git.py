"""Git checkouts from a real git daemon, and over HTTP with a password."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from tests.artifacts.trees_made import listed
from tiphys import settings
from tiphys.artifacts import store
from tiphys.artifacts.errors import ArtifactError
from tiphys.artifacts.retrying import Backoff
from tiphys.secrets import Secrets
from tiphys.spec.artifacts import ArchiveStrategy, Artifact, Git, TarStrategy
from tiphys.spec.parameters import KeySelector
from tiphys.spec.workflows import ObjectMeta, Secret

pytestmark = pytest.mark.asyncio

WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@x"}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", folder, "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | WHO).stdout.strip()


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """One repository `r`: main with three commits, a branch `side`, a tag `v1` on the first commit, and a ref outside of the branches."""
    top = tmp_path_factory.mktemp("git")
    work = top / "work"
    work.mkdir()
    git(work, "init", "-q")
    for number in ("1", "2", "3"):
        (work / "VERSION").write_text(number)
        git(work, "add", ".")
        git(work, "commit", "-qm", number)
    git(work, "tag", "v1", "HEAD~2")
    git(work, "checkout", "-qb", "side")
    (work / "VERSION").write_text("side")
    git(work, "commit", "-qam", "side")
    git(work, "update-ref", "refs/pull/7/head", "HEAD~3")
    git(work, "checkout", "-q", "main")
    (top / "r").mkdir()
    git(top, "clone", "-q", "--mirror", str(work), str(top / "r"))
    git(top / "r", "config", "uploadpack.allowAnySHA1InWant", "true")
    git(top / "r", "update-server-info")
    return top


@pytest.fixture(scope="module")
def served(repositories):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={repositories}"]
    daemon = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield f"git://127.0.0.1:{port}/r"
    os.killpg(daemon.pid, 15)
    daemon.wait()


class Waits(list):
    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits():
    return Waits()


@pytest.fixture
def artifacts(tmp_path, waits):
    secret = Secret(api_version="v1", metadata=ObjectMeta(name="git"), string_data={"user": "me", "password": "hunter2", "wrong": "nope"})
    return store.Artifacts(settings.ArtifactSettings(), tmp_path / "local", Secrets([secret]), backoff=Backoff(sleep=waits.sleep))


def checkout(repo: str, **fields) -> Artifact:
    return Artifact(name="source", path="/src", git=Git(repo=repo, **fields))


REVISIONS = {"": "3", "HEAD": "3", "main": "3", "side": "side", "v1": "1", "{first}": "1", "{short}": "1"}


@pytest.mark.parametrize(
    ("revision", "version", "depth"),
    # A server is not asked for a shortened name.
    [(revision, version, depth) for revision, version in REVISIONS.items() for depth in (None, 1) if not (revision == "{short}" and depth)],
)
async def test_a_revision_of_every_style_is_checked_out(served, repositories, artifacts, tmp_path, revision, version, depth):
    first = git(repositories / "r", "rev-parse", "v1")
    revision = revision.format(first=first, short=first[:7])
    await artifacts.load(checkout(served, revision=revision, depth=depth), tmp_path / "d", "default")
    assert (tmp_path / "d" / "VERSION").read_text() == version
    assert git(tmp_path / "d", "status", "--porcelain") == ""
    assert listed(tmp_path / "d") == [".git", "VERSION"]


async def test_older_commits_single_branches_and_fetched_refs(served, artifacts, tmp_path):
    await artifacts.load(checkout(served, revision="HEAD~2"), tmp_path / "old", "default")
    assert (tmp_path / "old" / "VERSION").read_text() == "1"
    await artifacts.load(checkout(served, branch="side", single_branch=True, depth=1), tmp_path / "one", "default")
    assert (tmp_path / "one" / "VERSION").read_text() == "side"
    assert git(tmp_path / "one", "branch", "-r") == "origin/side"
    fetched = checkout(served, fetch=("refs/pull/*:refs/remotes/origin/pull/*",), revision="origin/pull/7/head")
    await artifacts.load(fetched, tmp_path / "pull", "default")
    assert (tmp_path / "pull" / "VERSION").read_text() == "1"


async def test_an_archive_strategy_means_nothing_to_a_checkout(served, artifacts, tmp_path):
    artifact = Artifact(name="s", git=Git(repo=served), archive=ArchiveStrategy(tar=TarStrategy()))
    await artifacts.load(artifact, tmp_path / "d", "default")
    assert (tmp_path / "d" / "VERSION").exists()


async def test_what_does_not_exist_is_final(served, artifacts, tmp_path, waits):
    with pytest.raises(ArtifactError, match=r"git: fatal: .*nothing"):
        await artifacts.load(checkout(served, revision="nothing"), tmp_path / "d", "default")
    with pytest.raises(ArtifactError, match=r"git: fatal"):
        await artifacts.load(checkout(served + "x"), tmp_path / "d", "default")
    assert waits == []
    assert not (tmp_path / "d").exists()


async def test_nobody_listening_is_tried_again(artifacts, tmp_path, waits, unused_tcp_port):
    with pytest.raises(ArtifactError) as caught:
        await artifacts.load(checkout(f"git://127.0.0.1:{unused_tcp_port}/r"), tmp_path / "d", "default")
    assert caught.value.transient
    assert len(waits) == 4


@pytest.mark.parametrize("repo", ["/etc", "file:///etc", "ext::sh -c evil", "--upload-pack=evil", "./r", "host::path", "", "a\nb"])
async def test_no_path_or_command_of_this_machine_is_a_repository(artifacts, tmp_path, repo):
    with pytest.raises(ArtifactError, match=r"git.repo must be|git cannot be given|location not set"):
        await artifacts.load(checkout(repo), tmp_path / "d", "default")


@pytest.mark.parametrize("field", [{"revision": "--orphan"}, {"branch": "-x"}, {"fetch": ("--upload-pack=touch /tmp/x",)}])
async def test_no_field_is_an_option(served, artifacts, tmp_path, field):
    with pytest.raises(ArtifactError, match="git cannot be given"):
        await artifacts.load(checkout(served, **field), tmp_path / "d", "default")


async def test_the_password_goes_to_the_repositorys_host_and_into_no_message(repositories, artifacts, tmp_path, waits):
    seen = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        if seen[-1] != "Basic " + base64.b64encode(b"me:hunter2").decode():
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        path = repositories / request.path.removeprefix("/")
        return web.Response(body=path.read_bytes()) if path.is_file() else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/r"

    def named(key: str) -> dict[str, KeySelector]:
        return {"username_secret": KeySelector(name="git", key="user"), "password_secret": KeySelector(name="git", key=key)}

    await artifacts.load(checkout(url, **named("password")), tmp_path / "d", "default")
    assert (tmp_path / "d" / "VERSION").read_text() == "3"
    assert b"hunter2" not in b"".join(path.read_bytes() for path in (tmp_path / "d").rglob("*") if path.is_file())
    with pytest.raises(ArtifactError, match="Authentication failed") as caught:
        await artifacts.load(checkout(url.replace("//", "//me:s3cr3t@"), **named("wrong")), tmp_path / "e", "default")
    assert "s3cr3t" not in str(caught.value)
    assert "nope" not in str(caught.value)
    assert waits == []
    await runner.cleanup()


async def test_a_cancelled_clone_leaves_no_process_and_no_file(artifacts, tmp_path):
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    (tmp_path / "in").mkdir()
    with anyio.move_on_after(0.5):
        await artifacts.load(checkout(f"git://127.0.0.1:{silent.getsockname()[1]}/mark-{os.getpid()}"), tmp_path / "in" / "d", "default")
    silent.close()
    assert listed(tmp_path / "in") == []
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"mark-{os.getpid()}" not in found


async def test_an_ssh_key_is_handed_to_ssh_and_is_on_no_disk(tmp_path, waits, monkeypatch):
    fake = tmp_path / "bin"
    fake.mkdir()
    look = f"json.dump([sys.argv, open(sys.argv[sys.argv.index('-i') + 1]).read()], open({str(tmp_path / 'seen')!r}, 'w'))"
    (fake / "ssh").write_text(f"#!{sys.executable}\nimport json, sys\n{look}\nsys.exit(1)\n")
    (fake / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    secret = Secret(api_version="v1", metadata=ObjectMeta(name="git"), string_data={"key": "PRIVATE"})
    artifacts = store.Artifacts(settings.ArtifactSettings(), tmp_path / "local", Secrets([secret]), backoff=Backoff(sleep=waits.sleep))
    named = {"ssh_private_key_secret": KeySelector(name="git", key="key"), "insecure_ignore_host_key": True}
    with pytest.raises(ArtifactError, match="git: fatal"):
        await artifacts.load(checkout("git@h:a/b.git", **named), tmp_path / "d", "default")
    arguments, key = json.loads((tmp_path / "seen").read_text())
    assert key == "PRIVATE\n"
    assert arguments[arguments.index("-i") + 1].startswith("/proc/")
    assert {"StrictHostKeyChecking=no", "BatchMode=yes"} <= set(arguments)


async def test_git_gets_little_of_the_environment_and_no_secret_argument(served, artifacts, tmp_path, monkeypatch):
    fake = tmp_path / "bin"
    fake.mkdir()
    seen = f"json.dump([sys.argv, dict(os.environ)], open({str(tmp_path / 'seen')!r}, 'w'))"
    (fake / "git").write_text(f"#!{sys.executable}\nimport json, os, sys\n{seen}\nsys.exit(1)\n")
    (fake / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "d43mons-own")
    named = {f"{name}_secret": KeySelector(name="git", key=key) for name, key in {"username": "user", "password": "password"}.items()}
    artifact = checkout("https://h/r", **named)
    with pytest.raises(ArtifactError, match="git: exit code 1"):
        await artifacts.load(artifact, tmp_path / "d", "default")
    arguments, environment = json.loads((tmp_path / "seen").read_text())
    assert "hunter2" not in " ".join(arguments)
    assert "d43mons-own" not in environment.values()
    assert environment["TIPHYS_GIT_PASSWORD"] == "hunter2"
