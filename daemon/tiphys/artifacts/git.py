"""Git checkouts, made by the `git` command. Input only, and only from other machines: a path of this one is refused."""

import contextlib
import os
import re
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from tiphys.artifacts.credentials import Credentials, in_memory
from tiphys.artifacts.errors import ArtifactError
from tiphys.artifacts.retrying import Backoff
from tiphys.artifacts.trees import remove
from tiphys.spec.artifacts import Git

SCHEMES = frozenset({"https", "http", "ssh", "git"})
SSH_PLACE = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!:)[^\s]+")
# git reads its own settings (proxies, insteadOf, certificates) from these; nothing else of the daemon's environment is handed on.
HANDED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|TZ|TMPDIR|XDG_CONFIG_HOME|SSH_AUTH_SOCK|SSL_CERT_\w+|GIT_CONFIG_\w+|GIT_SSL_CAINFO|(?:https?|no|all)_proxy",
    re.IGNORECASE,
)
# Only the repository's own host is told the password; the shell reads it from the environment, so that no argument holds it.
HELPER = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$TIPHYS_GIT_USERNAME" "$TIPHYS_GIT_PASSWORD"; }; f'
PASSING = re.compile(
    r"could not resolve host|connection (?:timed out|refused|reset)|failed to connect|early eof|timed out|unexpected disconnect"
    r"|returned error: (?:408|425|429|5\d\d)|temporary failure|remote end hung up",
    re.IGNORECASE,
)
SAID_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class _Access:
    """What git is given besides its arguments; `hidden` is what no message may show."""

    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)


class GitPlace:
    """One repository at one revision."""

    def __init__(self, location: Git, credentials: Credentials, backoff: Backoff) -> None:
        self._location = location
        self._credentials = credentials
        self._backoff = backoff

    async def fetch(self, to: Path) -> None:
        """Clone, fetch what is asked for besides, check the revision out, and its submodules."""
        _judge(self._location)
        key = await self._credentials.value(self._location.ssh_private_key_secret)
        user = await self._credentials.value(self._location.username_secret)
        password = await self._credentials.value(self._location.password_secret)
        with _access(self._location, key, user, password) as access:
            await self._backoff.retried(partial(self._clone, access, to))

    async def store_file(self, source: Path) -> None:
        """Not possible."""
        raise ArtifactError(f"{source.name} cannot be saved to git: it is for inputs only")

    async def store_folder(self, source: Path) -> None:
        """Not possible."""
        await self.store_file(source)

    async def keys(self) -> list[str]:
        """Not possible."""
        raise ArtifactError("git artifacts cannot be listed")

    async def delete(self) -> None:
        """Not possible."""
        raise ArtifactError("git artifacts cannot be deleted")

    async def _clone(self, access: _Access, to: Path) -> None:
        wanted = self._location
        await anyio.to_thread.run_sync(remove, to)
        depth = [f"--depth={wanted.depth}"] if wanted.depth else []
        branches = "--single-branch" if wanted.single_branch else "--no-single-branch"
        branch = [f"--branch={wanted.branch}"] if wanted.branch else []
        await _git(access, "clone", "--quiet", branches, *branch, *depth, "--", wanted.repo, str(to))
        inside = partial(_git, access, "-C", str(to))
        if wanted.fetch:
            await inside("fetch", "--quiet", *depth, "origin", *wanted.fetch)
        if wanted.revision:
            try:
                await inside("checkout", "--quiet", wanted.revision, "--")
            except ArtifactError:
                # A shallow or single-branch clone need not hold it.
                await inside("fetch", "--quiet", *depth, "origin", wanted.revision)
                await inside("checkout", "--quiet", "--detach", "FETCH_HEAD", "--")
        if not wanted.disable_submodules:
            await inside("submodule", "--quiet", "update", "--init", "--recursive", "--force", *depth)


def _judge(location: Git) -> None:
    """Refuse what git would take for an option, a command or a path of this machine."""
    for text in (location.repo, location.revision, location.branch, *location.fetch):
        if text.startswith("-") or "\0" in text or "\n" in text:
            raise ArtifactError(f"git cannot be given {text!r}")
    scheme, separator, _ = location.repo.partition("://")
    if scheme not in SCHEMES if separator else SSH_PLACE.fullmatch(location.repo) is None:
        raise ArtifactError("git.repo must be an https, http, ssh or git URL, or user@host:path")


@contextlib.contextmanager
def _access(location: Git, key: str, user: str, password: str) -> Iterator[_Access]:
    options: list[str] = []
    environment = {"GIT_TERMINAL_PROMPT": "0"}
    url = urlsplit(location.repo)
    with ExitStack() as stack:
        if user or password:
            host = url.netloc.rpartition("@")[2]
            options += ["-c", f"credential.{url.scheme}://{host}.helper={HELPER}"]
            environment |= {"TIPHYS_GIT_USERNAME": user, "TIPHYS_GIT_PASSWORD": password}
        ssh = ["ssh", "-o", "BatchMode=yes"]
        if key:
            ssh += ["-o", "IdentitiesOnly=yes", "-i", stack.enter_context(in_memory(key if key.endswith("\n") else f"{key}\n"))]
        if location.insecure_ignore_host_key:
            ssh += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        environment["GIT_SSH_COMMAND"] = shlex.join(ssh)
        if location.insecure_skip_tls:
            environment["GIT_SSL_NO_VERIFY"] = "true"
        hidden = tuple(text for text in (password, url.password or "") if text)
        yield _Access(options=tuple(options), environment=environment, hidden=hidden)


async def _git(access: _Access, *arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if HANDED_ON.fullmatch(name)}
    environment.update(access.environment)
    command = ["git", *access.options, "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        process = await anyio.open_process(command, stdin=None, stdout=None, env=environment, start_new_session=True)
    except FileNotFoundError as error:
        raise ArtifactError("git artifacts need the git command, which is not installed here") from error
    said = b""
    async with process:
        try:
            assert process.stderr is not None
            async for chunk in process.stderr:
                said = (said + chunk)[-SAID_BYTES:]
            code = await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if code != 0:
        raise _told(said.decode(errors="replace"), access, code)


def _told(said: str, access: _Access, code: int) -> ArtifactError:
    for text in access.hidden:
        said = said.replace(text, "***")
    lines = [line for line in said.splitlines() if line.startswith(("fatal:", "error:"))] or said.strip().splitlines()[-1:]
    message = "; ".join(lines) or f"exit code {code}"
    return ArtifactError(f"git: {message}", transient=PASSING.search(said) is not None)
