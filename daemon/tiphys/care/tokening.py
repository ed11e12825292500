"""`tiphysd token`: the tokens by which those who come over the network are known. A running daemon goes by each change at once."""

import argparse
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from tiphys.errors import InvalidSettings
from tiphys.service import tokens
from tiphys.service.tokens import Scope, Token
from tiphys.settings import ServerSettings

ABOUT = "Make, list and revoke the bearer tokens of those who come over the network (the setting server.listen)."
SCOPES = "read: look at everything; submit: also start and steer workflows; admin: also delete, and change templates and cron workflows"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
DURATION = re.compile(r"(\d{1,6})([smhdw])")


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="create|list|revoke")
    create = verbs.add_parser("create", help="make a token and print it, this once")
    create.add_argument("--scope", required=True, choices=[str(scope) for scope in Scope], help=SCOPES)
    create.add_argument("--name", default="", help="what it is called in lists and records; one is made up otherwise")
    create.add_argument("--expires", default="", metavar="30d", help="how long it is valid: a number and s, m, h, d or w; else for ever")
    verbs.add_parser("list", help="the names, scopes and ends of all tokens")
    revoke = verbs.add_parser("revoke", help="take a token back, at once")
    revoke.add_argument("name", metavar="NAME")


def done(typed: argparse.Namespace, settings: ServerSettings, state: Path) -> str:
    """Do what was typed; what is printed. Raises TokensRefused and InvalidSettings."""
    path = tokens.place(settings, state)
    if typed.verb == "create":
        text, made = tokens.create(path, Scope(typed.scope), name=typed.name, seconds=_seconds(typed.expires))
        sys.stderr.write(f"{made.name}: scope {made.scope}, {_end(made)}; it is shown only now\n")
        return f"{text}\n"
    if typed.verb == "revoke":
        tokens.revoke(path, typed.name)
        return f"{typed.name}: revoked\n"
    return table(tokens.read(path))


def table(kept: tuple[Token, ...]) -> str:
    """The list of tokens."""
    if not kept:
        return "No tokens found\n"
    wide = max(4, *(len(one.name) for one in kept))
    rows = [f"{'NAME':<{wide}}   SCOPE    CREATED      EXPIRES"]
    rows += [f"{one.name:<{wide}}   {one.scope:<6}   {_day(one.created)}   {_end(one)}" for one in kept]
    return "".join(f"{row}\n" for row in rows)


def _seconds(text: str) -> int:
    if not text:
        return 0
    found = DURATION.fullmatch(text)
    if found is None or not int(found[1]):
        raise InvalidSettings(f"--expires: {text!r} is no duration; it is a number and s, m, h, d or w, as 30d")
    return int(found[1]) * UNITS[found[2]]


def _end(one: Token) -> str:
    if not one.expires:
        return "never expires"
    return f"{'expires' if one.valid(datetime.now(UTC).timestamp()) else 'expired'} {_day(one.expires)}"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
