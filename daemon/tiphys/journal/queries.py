"""SQL by name: the statements of `queries.sql`, and the scripts that make or change the tables."""

import re
from pathlib import Path

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)


def script(name: str) -> str:
    """The text of `<name>.sql` in this package."""
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")


def named() -> dict[str, str]:
    """Name to statement."""
    return {found[1]: _COMMENT.sub("", found[2]).strip() for found in _NAMED.finditer(script("queries"))}
