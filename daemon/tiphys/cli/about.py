"""`tiphys version`, `tiphys health`, `tiphys auth token`: of this command, and of the daemon."""

from tiphys import __version__
from tiphys.cli.client import Said, Unreachable
from tiphys.cli.exits import Exit
from tiphys.cli.remote import Remote


def version(remote: Remote, *, short: bool) -> Exit:
    """Print both versions; 1 where the daemon's cannot be had."""
    if short:
        remote.print(__version__)
        return Exit.SUCCEEDED
    remote.print(f"tiphys: {__version__}")
    try:
        found = remote.client.value("/version")
    except (Said, Unreachable) as error:
        remote.tell(str(error))
        return Exit.FAILED
    remote.print(
        f"tiphysd: {found['version']}", f"  platform: {found['platform']}", f"  python: {found['goVersion'].removeprefix('python')}"
    )
    return Exit.SUCCEEDED


def health(remote: Remote) -> Exit:
    """Print "ok", or what the daemon is doing instead."""
    try:
        remote.print(remote.client.get("//healthz").decode())
    except Said as error:
        remote.print(str(error))
        return Exit.FAILED
    return Exit.SUCCEEDED


def token(remote: Remote) -> Exit:
    """Print who asks, as a request says it; 1 where nothing is said."""
    if not (shown := remote.client.way.headers.get("Authorization", "")):
        remote.tell("there is no token: over its socket the daemon knows who asks; ARGO_SERVER and ARGO_TOKEN ask over the network")
        return Exit.FAILED
    remote.print(shown)
    return Exit.SUCCEEDED
