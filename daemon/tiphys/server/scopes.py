"""Which scope a request needs: reading is GET; starting and steering workflows is `submit`; everything else is `admin`."""

import re

from aiohttp import web

from tiphys.server.problems import Problem
from tiphys.service.tokens import Scope

OPEN = frozenset({"/healthz"})
"""Answered to anybody; they tell nothing."""

READS = frozenset({"GET", "HEAD", "OPTIONS"})
PLACEHOLDER = re.compile(r"\{[^}]*\}")
STEERING = re.compile(
    r"/api/v1/("
    r"POST workflows/\{\}(/lint|/submit)?"
    r"|PUT workflows/\{\}/\{\}/(retry|resubmit|suspend|resume|stop|terminate|set)"
    r"|PUT archived-workflows/\{\}/(retry|resubmit)"
    r"|POST (workflow-templates|cron-workflows|workflow-event-bindings)/\{\}/lint"
    r"|POST cluster-workflow-templates/lint"
    r"|POST cron-workflows/\{\}/\{\}/run"
    r"|POST tracking/event"
    r"|POST events/\{\}(/\{\})?"
    r"|POST upload-artifacts/.*"
    r")"
)


def needed(request: web.Request) -> Scope | None:
    """The scope that a request needs; None: none at all."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else request.path
    if path in OPEN and request.method in READS:
        return None
    if request.method in READS:
        return Scope.READ
    base, _, rest = PLACEHOLDER.sub("{}", path).rstrip("/").partition("/api/v1/")
    if not base and STEERING.fullmatch(f"/api/v1/{request.method} {rest}"):
        return Scope.SUBMIT
    return Scope.ADMIN


def judge(request: web.Request, has: Scope, wanted: Scope) -> None:
    """Raises Problem where a scope is not enough."""
    if not has.allows(wanted):
        raise Problem(403, f"permission denied: {request.method} {request.path} needs a token of scope {wanted}, this one has {has}")
