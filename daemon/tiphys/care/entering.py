"""The ways in over the network, as a daemon would find them at its start: certificate, tokens, addresses."""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tiphys.care.finding import Found, error, ok, warning
from tiphys.care.owner import Owner
from tiphys.errors import InvalidSettings
from tiphys.service import certificates, entrances, tokens
from tiphys.service.tokens import TokensRefused
from tiphys.settings import ServerSettings

SOON = timedelta(days=21)
CORRECT = "correct it in the settings file"
RENEW = "renew it, then `systemctl reload tiphysd`"


def check(settings: ServerSettings, state: Path, whose: Owner) -> list[Found]:
    """What is wrong with the ways in; nothing where there are none."""
    try:
        entrances.check(settings)
        listens = entrances.addresses(settings.listen)
    except InvalidSettings as mistake:
        return [error(str(mistake), CORRECT)]
    found = [*_tokens(tokens.place(settings, state), whose), *_certificate(settings, whose)]
    if listens and not found:
        how = "over TLS" if settings.tls_certificate else "without TLS"
        found.append(ok(f"network: {', '.join(map(str, listens))}, {how}"))
    return found


def _tokens(path: Path, whose: Owner) -> Iterator[Found]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    if stat.S_IMODE(found.st_mode) & 0o077:
        yield warning(f"tokens {path}: others may read or change it (mode {stat.S_IMODE(found.st_mode):o})", f"`chmod 600 {path}`")
    if not whose.may(os.R_OK, path):
        yield error(f"tokens {path}: {whose.name} may not read it, so nobody's token is valid", f"as root: `chown {whose.name} {path}`")
    elif os.access(path, os.R_OK):
        try:
            tokens.read(path)
        except TokensRefused as why:
            yield error(f"tokens: {why}", f"`mv {path} {path}.other`, then `tiphysd token create`")


def _certificate(settings: ServerSettings, whose: Owner) -> Iterator[Found]:
    if not settings.tls_certificate:
        return
    chain = Path(settings.tls_certificate).expanduser()
    key = Path(settings.tls_key).expanduser() if settings.tls_key else chain
    unreadable = [str(path) for path in dict.fromkeys((chain, key)) if not path.exists() or not whose.may(os.R_OK, path)]
    if unreadable:
        yield error(f"certificate: {' and '.join(unreadable)}: not there, or {whose.name} may not read it", f"let {whose.name} read it")
        return
    if key.stat().st_mode & stat.S_IROTH:
        yield warning(f"certificate: everybody on this machine may read the key {key}", f"`chmod o-rwx {key}`")
    if not os.access(chain, os.R_OK) or not os.access(key, os.R_OK):
        return
    try:
        certificates.context(str(chain), str(key))
        left = certificates.good_until(chain) - datetime.now(UTC)
    except (InvalidSettings, ValueError) as mistake:
        yield error(str(mistake), CORRECT)
        return
    if left <= timedelta():
        yield error(f"certificate {chain}: it expired {-left.days} days ago", RENEW)
    elif left < SOON:
        yield warning(f"certificate {chain}: it expires in {left.days} days", RENEW)
