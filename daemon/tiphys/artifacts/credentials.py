"""Secrets as the places of artifacts need them: values, and certificates as files that exist only in memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tiphys.artifacts.errors import ArtifactError
from tiphys.secrets import SecretMissing, Secrets
from tiphys.spec.parameters import KeySelector


class Credentials:
    """The Secrets of one namespace."""

    def __init__(self, secrets: Secrets, namespace: str) -> None:
        self._secrets = secrets
        self._namespace = namespace

    async def value(self, selector: KeySelector | None) -> str:
        """The selected value; "" for no selector or an optional one without a value. ArtifactError: it is missing."""
        if selector is None:
            return ""
        try:
            return await self._secrets.need_secret(self._namespace, selector) or ""
        except SecretMissing as error:
            raise ArtifactError(str(error)) from error


@contextmanager
def in_memory(text: str) -> Iterator[str]:
    """The path of a file with this text, which is on no disk and which only this user's processes can open."""
    descriptor = os.memfd_create("tiphys")
    try:
        os.fchmod(descriptor, 0o600)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(os.fsencode(text))
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)
