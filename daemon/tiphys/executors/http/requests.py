"""A request as it goes out: made of what a template says, and what a redirect makes of it. Go's client is the model."""

import base64
import binascii
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from multidict import CIMultiDict
from yarl import URL

import tiphys
from tiphys.executors.http import failures, headers
from tiphys.executors.http.failures import RequestFailedError
from tiphys.executors.http.wires import Line
from tiphys.spec.templates import HTTP
from tiphys.spec.work import WorkOrder

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
IDEMPOTENCY_HEADERS = frozenset({"Idempotency-Key", "X-Idempotency-Key"})
BODY_UNUSUAL = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that say nothing of a body that they do not have."""

BY_THE_CLIENT = frozenset({"Expect", "Upgrade", "Connection"})
"""Headers that a client acts upon."""

SHORT_BODY = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_READY = re.compile(r"(?:[!#$&-;=?-Z\[\]_a-z~']|%[0-9A-Fa-f]{2})*")  # a URL that needs no quoting is sent as it was written


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request ready to go."""

    method: str
    url: URL
    host: str
    headers: headers.Pairs
    body: bytes
    insecure: bool
    http: HTTP

    def fields(self) -> CIMultiDict[str]:
        """The headers as they go out."""
        fields = CIMultiDict(self.headers)
        if self.host:
            fields["Host"] = self.host
        if "Accept-Encoding" not in fields:
            fields["Accept-Encoding"] = "gzip"
        return fields

    @functools.cached_property
    def line(self) -> Line:
        """The request as text."""
        fields, url = self.fields(), self.url
        host = fields.pop("Host", url.host_port_subcomponent)
        if self.body or self.method not in BODY_UNUSUAL:
            fields["Content-Length"] = str(len(self.body))
        lines = (f"{self.method} {url.raw_path_qs} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields.items()))
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in a request's head")
        text = "\r\n".join((*lines, "", "")).encode() + self.body
        origin = (url.scheme, url.raw_host or "", url.port, self.insecure)
        return Line(origin, text, is_head=self.method == "HEAD", unpack=self.unpacks)

    @functools.cached_property
    def is_plain(self) -> bool:
        """Whether it is for a wire, if it goes through no proxy."""
        return len(self.body) <= SHORT_BODY and self.method != "CONNECT" and all(name not in BY_THE_CLIENT for name, _ in self.headers)

    @property
    def unpacks(self) -> bool:
        """Whether a compressed answer is unpacked: that is what asking for it by ourselves means."""
        return all(name != "Accept-Encoding" for name, _ in self.headers)


class Redirect(NamedTuple):
    """An answer that points elsewhere."""

    status: int
    location: str


def made(order: WorkOrder, http: HTTP, values: Sequence[str | None]) -> Sent:
    """The request that an order asks for. `values` are those of its headers; None: it is left out."""
    method = http.method.upper() or "GET"
    if not _METHOD.fullmatch(method):
        raise RequestFailedError(f'net/http: invalid method "{http.method}"')
    url = _parsed(http.url, method)
    host, pairs = "", []
    for header, value in zip(http.headers, values, strict=True):
        if value is None:
            continue
        if why := headers.complaint(header.name, value):
            raise failures.refused(method, http.url, why)
        if header.name.lower() == "host":
            host = value
        elif (name := headers.canonical(header.name)) not in headers.WRITTEN_BY_CLIENT:
            pairs.append((name, value.strip()))
    names = {name for name, _ in pairs}
    if url.raw_user is not None and "Authorization" not in names:
        pairs.append(("Authorization", _basic(url)))
    if "User-Agent" not in names:
        pairs.append(("User-Agent", f"tiphys/{tiphys.__version__}"))
    if method not in IDEMPOTENT and not names & IDEMPOTENCY_HEADERS:
        pairs.append(("Idempotency-Key", _idempotency_key(order)))
    return Sent(method=method, url=url, host=host, headers=tuple(pairs), body=_body(http), insecure=http.insecure_skip_verify, http=http)


def _basic(url: URL) -> str:
    return "Basic " + base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()


def _idempotency_key(order: WorkOrder) -> str:
    """The same for all attempts of a node, another for each run: two runs of one workflow name have the same node ids."""
    return f"{order.workflow.uid}/{order.idempotency_key or order.node_id}"


def _body(http: HTTP) -> bytes:
    if http.body_from is None:
        return http.body.encode()
    try:
        return base64.b64decode(http.body_from.bytes, validate=True)
    except binascii.Error as error:
        raise RequestFailedError(f"http.bodyFrom.bytes is not base64: {error}") from error


def _parsed(text: str, method: str) -> URL:
    """The URL as it was written; only what could not go over the wire is quoted."""
    if _CONTROL.search(text):
        raise RequestFailedError(f'parse "{text!r}": net/url: invalid control character in URL')
    try:
        url = URL(text, encoded=_READY.fullmatch(text) is not None)
        port_is_number = url.port
    except ValueError as error:
        raise RequestFailedError(f'parse "{text}": {error}') from error
    del port_is_number  # reading it is what checks it
    return _supported(url, text, method)


def _supported(url: URL, text: str, method: str) -> URL:
    if url.scheme not in {"http", "https"}:
        raise failures.refused(method, text, f'unsupported protocol scheme "{url.scheme}"')
    if not url.raw_host:
        raise failures.refused(method, text, "http: no Host in request URL")
    return url.with_fragment(None) if url.raw_fragment else url


def redirected(first: Sent, sent: Sent, redirect: Redirect) -> Sent:
    """The request a redirect asks for: 307 and 308 repeat it, the others ask with GET and without a body."""
    status, location = redirect
    try:
        target = sent.url.join(URL(location, encoded=_READY.fullmatch(location) is not None))
    except ValueError as error:
        raise failures.refused(sent.method, str(sent.url), f'failed to parse Location header "{location}": {error}') from error
    repeated = status in {307, 308}
    method = sent.method if repeated or sent.method in {"GET", "HEAD"} else "GET"
    body = sent.body if repeated else b""
    target = _supported(target, location, method)
    return replace(
        sent,
        method=method,
        url=target,
        host=sent.host if URL(location).host is None else "",
        body=body,
        headers=headers.carried_on(sent.headers, first.url, sent.url, target, body=bool(body)),
    )
