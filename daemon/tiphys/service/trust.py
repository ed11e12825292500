"""Whom the machine trusts, read when somebody is first called: a daemon that calls nobody need not hold a hundred certificates, twice.

aiohttp makes two contexts of TLS when it is imported, which takes 40 ms and 2 MB.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Later(ssl.SSLContext):
    """Trusts whom the machine trusts, which the first connection reads: that one takes 20 ms longer."""

    _read = False

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        """As every context."""
        self._know()
        return super().wrap_bio(*given, **named)

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        """As every context."""
        self._know()
        return super().wrap_socket(*given, **named)

    def _know(self) -> None:
        if not self._read:
            self.load_default_certs()
            self._read = True


@contextmanager
def read_later() -> Iterator[None]:
    """Contexts that this thread makes meanwhile read nothing: the default one later, one that verifies nobody never. Other threads' do."""
    mine, default, read = threading.get_ident(), ssl.create_default_context, ssl.SSLContext.set_default_verify_paths

    def reading(context: ssl.SSLContext) -> None:
        if threading.get_ident() != mine:
            read(context)

    def making(*given: Any, **named: Any) -> ssl.SSLContext:
        made = default(*given, **named)
        if threading.get_ident() == mine and not given and not named:
            made.__class__ = Later
        return made

    ssl.create_default_context = making
    ssl.SSLContext.set_default_verify_paths = reading  # type: ignore[assignment]  # it is inherited, and so again below
    try:
        yield
    finally:
        ssl.create_default_context = default
        del ssl.SSLContext.set_default_verify_paths
