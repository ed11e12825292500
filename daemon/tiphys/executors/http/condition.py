"""`successCondition`: an expr-lang expression over the request as written and the answer as read (argo-variables 8)."""

from collections.abc import Mapping
from datetime import datetime

from tiphys.executors.http.failures import RequestFailedError
from tiphys.expressions import expr
from tiphys.expressions.chance import Chance
from tiphys.expressions.errors import ConditionError, ExpressionError
from tiphys.spec.templates import HTTP


def holds(http: HTTP, body: bytes, status: int, headers: Mapping[str, list[str]], text: str, *, now: datetime, seed: str) -> bool:
    """Whether the answer counts as a success; `body` is what was sent.

    `request` is what the manifest says: the method is "" where none was given, and headers from Secrets are left out.
    Raises RequestFailedError, in Argo's words, where the condition cannot be evaluated or gives no boolean.
    """
    condition = http.success_condition
    env: dict[str, object] = {
        "request": {
            "method": http.method,
            "url": http.url,
            "body": http.body,
            "bodyBytes": body,
            "headers": {header.name: [header.value] for header in http.headers if header.value_from is None},
        },
        "response": {"statusCode": status, "body": text, "headers": dict(headers)},
    }
    try:
        return expr.compile(condition).holds(env, Chance(now=now, seed=seed), functions="plain")
    except (ExpressionError, ConditionError) as error:
        raise RequestFailedError(str(error)) from error
