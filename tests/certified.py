"""Certificates for tests, signed by an authority that only they know."""

import importlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Files:
    """A certificate with its chain, its key, and the authority that clients trust."""

    chain: Path
    key: Path
    authority: Path


def needed(module: str):
    """A module of the development environment; where it is absent the test is skipped, except in CI."""
    return importlib.import_module(module) if os.environ.get("CI") == "true" else pytest.importorskip(module)


def certified(folder: Path, until: datetime | None = None) -> Files:
    """A certificate for this machine's own names."""
    authority = needed("trustme").CA()
    found = authority.issue_cert(*NAMES, not_after=until or datetime.now(UTC) + timedelta(days=90))
    folder.mkdir(parents=True, exist_ok=True)
    made = Files(chain=folder / "chain.pem", key=folder / "key.pem", authority=folder / "authority.pem")
    made.chain.write_bytes(b"".join(pem.bytes() for pem in found.cert_chain_pems))
    made.key.write_bytes(found.private_key_pem.bytes())
    made.key.chmod(0o600)
    authority.cert_pem.write_to_path(str(made.authority))
    return made
