"""Which failure messages are passing troubles: the list that `retryPolicy: OnTransientError` goes by (semantics 2.9).

Scheduler and executors share it; an attempt whose executor knows the cause better says so in `Outcome.transient`.
"""

import functools
import re

PATTERNS = (
    r"Connection closed by foreign host",
    r"net/http: TLS handshake timeout",
    r"i/o timeout",
    r"connection timed out",
    r"connection reset by peer",
    r"connect: connection refused",
    r"http2: client connection lost",
    r"http2: server sent GOAWAY and closed the connection",
    r"invalid connection",
    r'^[A-Z][a-z]* "[^"\n]*": .*\bEOF\b',  # a request whose connection ended; a bare "EOF" in a step's own words does not count
    r"^unexpected EOF$",  # a response cut off in its body
    r"(unexpected|stream) error when reading response body",
    r"\bdial tcp: lookup ",
    r"etcdserver: (leader changed|request timed out|too many requests)",
    r"client rate limiter Wait returned an error",
    r"upper: no more rows in",
)


@functools.cache
def _any() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in PATTERNS), re.MULTILINE)


def is_transient(message: str, pattern: str = "") -> bool:
    """Whether `message` tells of a trouble that may pass.

    `pattern` is the operator's own regular expression (Argo's TRANSIENT_ERROR_PATTERN), searched beside the list; one that
    does not compile matches nothing, as in Argo.
    """
    if not message:
        return False
    if _any().search(message):
        return True
    if not pattern:
        return False
    try:
        return re.search(pattern, message) is not None
    except re.error:
        return False
