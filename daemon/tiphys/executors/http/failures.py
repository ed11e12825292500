"""What went wrong with a request, in the words of Go's HTTP client: retry policies and users' scripts match on those.

It is the border to aiohttp: its exceptions end here. Nothing else reads their insides.
"""

import errno
import os
import re
import socket
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from tiphys.errors import TiphysError
from tiphys.spec import transient

DEADLINE_EXCEEDED = "context deadline exceeded"
PLAIN_ANSWER = "http: server gave HTTP response to HTTPS client"
_NAME_UNKNOWN = {code for name in ("EAI_NONAME", "EAI_NODATA") if (code := getattr(socket, name, None)) is not None}
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}  # OpenSSL's codes for a chain that ends in nobody we know
_CERTIFICATE_DATES = {9, 10}
_PASSWORD = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*://[^/@:]*):[^/@]*@")


class RequestFailedError(TiphysError):
    """The request got no usable answer."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


def operation(method: str, url: str, reason: str) -> str:
    """`Get "http://host/": reason`, with a password in the URL hidden."""
    shown = _PASSWORD.sub(r"\1:***@", url)
    return f'{(method or "GET").capitalize()} "{shown}": {reason}'


def refused(method: str, url: str, reason: str, *, passing: bool = False) -> RequestFailedError:
    """The failure of one request; `passing`: a repetition may well succeed."""
    message = operation(method, url, reason)
    return RequestFailedError(message, transient=passing or transient.is_transient(message))


def translated(error: BaseException, method: str, url: str) -> RequestFailedError:
    """What Go's client would say of `error`, met before the answer's headers were there."""
    reason, passing = _reason(error)
    return refused(method, url, reason, passing=passing)


def cut_off(error: BaseException) -> RequestFailedError:
    """What Go's reader would say of `error`, met inside the answer's body."""
    match error:
        case aiohttp.ClientPayloadError():
            return RequestFailedError("unexpected EOF", transient=True)
        case _:
            reason, passing = _reason(error)
            return RequestFailedError(reason, transient=passing)


def _reason(error: BaseException) -> tuple[str, bool]:
    match error:
        case aiohttp.ClientConnectorDNSError():
            known = error.os_error.errno in _NAME_UNKNOWN
            return f"dial tcp: lookup {error.host}: {'no such host' if known else 'server misbehaving'}", True
        case aiohttp.ClientConnectorCertificateError():
            return f"tls: failed to verify certificate: {_certificate(error)}", False
        case aiohttp.ClientConnectorSSLError():
            return _handshake(error.os_error), False
        case aiohttp.ClientConnectorError():
            return f"dial tcp {_address(error.host, error.port)}: connect: {_system(error.os_error)}", True
        case aiohttp.ConnectionTimeoutError():
            return "dial tcp: i/o timeout", True
        case aiohttp.ServerDisconnectedError():
            return "EOF", True
        case aiohttp.ClientPayloadError():
            return "unexpected EOF", True
        case aiohttp.ClientHttpProxyError():
            return error.message, error.status in {502, 503, 504}
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return f"net/http: HTTP/1.x transport connection broken: malformed HTTP response: {_line(error.message)}", False
        case TimeoutError():
            return DEADLINE_EXCEEDED, True
        case OSError():
            call = "write" if error.errno == errno.EPIPE else "read"
            return f"{call} tcp: {call}: {_system(error)}", True
        case aiohttp.ClientConnectionError():
            return "EOF", True
        case _:
            return _line(str(error)) or type(error).__name__, False


def _system(error: OSError) -> str:
    """The system's words for an error number, as Go prints them."""
    return os.strerror(error.errno).lower() if error.errno else _line(str(error))


def _address(host: str | None, port: int | None) -> str:
    return f"[{host}]:{port}" if host and ":" in host else f"{host}:{port}"


def _certificate(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    if not isinstance(cause, ssl.SSLCertVerificationError):
        return f"x509: {_line(str(cause))}"
    if cause.verify_code in _UNKNOWN_AUTHORITY:
        return f"x509: certificate signed by unknown authority ({cause.verify_message})"
    if cause.verify_code in _CERTIFICATE_DATES:
        return "x509: certificate has expired or is not yet valid"
    return f"x509: {_line(cause.verify_message)}"


def _handshake(error: OSError) -> str:
    reason = getattr(error, "reason", None) or ""
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return PLAIN_ANSWER
    return f"remote error: tls: {reason.replace('_', ' ').lower() or _line(str(error))}"


def _line(text: str) -> str:
    """`text` on one line."""
    return " ".join(text.split())
