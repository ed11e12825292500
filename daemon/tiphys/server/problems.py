"""What went wrong, in the shape of Argo Server's answers: an HTTP status and `{"code", "message"}` (gRPC's code, semantics part 4)."""

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from tiphys.engine.engine import Refused
from tiphys.engine.house import NotThere, Taken
from tiphys.engine.submissions import Rejected
from tiphys.errors import Busy, TiphysError

log = structlog.get_logger()

CANCELLED, INVALID, DEADLINE, MISSING, EXISTS, DENIED, EXHAUSTED, STATE = 1, 3, 4, 5, 6, 7, 8, 9
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 12, 13, 14, 16
CODES = {
    400: INVALID,
    401: UNAUTHENTICATED,
    403: DENIED,
    404: MISSING,
    405: UNIMPLEMENTED,
    409: STATE,
    413: EXHAUSTED,
    429: EXHAUSTED,
    500: INTERNAL,
    501: UNIMPLEMENTED,
    503: UNAVAILABLE,
    504: DEADLINE,
}
"""gRPC's codes for HTTP's."""

OURS = "internal error; see the daemon's log"


class Problem(TiphysError):
    """An answer that says no."""

    def __init__(self, status: int, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or CODES.get(status, INVALID if status < 500 else INTERNAL)

    def response(self) -> web.Response:
        """The answer."""
        body = msgspec.json.encode({"code": self.code, "message": str(self)})
        return web.Response(status=self.status, body=body, content_type="application/json")


def of(error: Exception) -> Problem:
    """An exception as an answer; what nobody foresaw is ours, and its text stays in our log."""
    match error:
        case Problem():
            return error
        case NotThere():
            return Problem(404, str(error))
        case Taken():
            return Problem(409, str(error), EXISTS)
        case Rejected():
            return Problem(400, str(error))
        case Refused():
            return Problem(409, str(error))
        case Busy():
            return Problem(503, str(error))
        case web.HTTPRequestEntityTooLarge():
            return Problem(413, "the request is too large; the bound is the setting limits.file_bytes, or server.body_bytes")
        case web.HTTPNotFound():
            return Problem(404, "Not Found")
        case web.HTTPException():
            return Problem(error.status, error.reason)
        case TiphysError():
            return Problem(400, str(error))
    return Problem(500, OURS)


def gathered(error: Exception) -> Exception:
    """What went wrong, out of the groups around it where it is one thing."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@web.middleware
async def translated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer that says no is JSON, and none shows our insides."""
    try:
        return await handler(request)
    except web.HTTPRedirection:
        raise
    except Exception as error:
        problem = of(error)
        if problem.status == 500 and not gone(request):
            log.exception("request failed", method=request.method, path=request.path)
        return problem.response()


def gone(request: web.Request) -> bool:
    """Whether whoever asked has hung up."""
    return request.transport is None or request.transport.is_closing()
