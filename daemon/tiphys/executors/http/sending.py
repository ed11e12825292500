"""One request over the wire and what its answer means: the part that knows aiohttp, imported with the first request.

Go's client is the model wherever a request could come out different: which headers go out, how redirects are followed (method,
body, credentials, at most ten), no cookies, no timeout of its own but the 30 seconds for a connection.
"""

import base64
import binascii
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import aiohttp
import anyio
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

import tiphys
from tiphys.executors.http import condition, failures, headers, patience, proxies
from tiphys.executors.http.failures import RequestFailedError
from tiphys.secrets import SecretMissing, Secrets
from tiphys.settings import HTTPSettings
from tiphys.spec.templates import HTTP, HTTPHeader
from tiphys.spec.work import Outcome, OutcomeKind, WorkOrder

CONNECT_SECONDS = 30.0
MAX_REDIRECTS = 10
HEADER_BYTES = 256 * 1024
LONG_BODY = 512 * 1024
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
IDEMPOTENCY_HEADERS = frozenset({"Idempotency-Key", "X-Idempotency-Key"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_READY = re.compile(r"(?:[!#$&-;=?-Z\[\]_a-z~']|%[0-9A-Fa-f]{2})*")  # a URL that needs no quoting is sent as it was written
_TROUBLES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_ADDED: CIMultiDict[None] = CIMultiDict({"Content-Type": None})  # aiohttp would add this, and Accept and User-Agent, by itself; Go does not
MOST_PREPARED, MOST_KEPT = 256, 4096


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

    @property
    def unpacks(self) -> bool:
        """Whether a compressed answer is unpacked: that is what asking for it by ourselves means."""
        return all(name != "Accept-Encoding" for name, _ in self.headers)


class Asking(aiohttp.ClientRequest):
    """A request with the headers it is given and no others."""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """A call of aiohttp's, in which it would add headers."""
        del skip_auto_headers
        self._skip_auto_headers = _ADDED


class Redirect(NamedTuple):
    """An answer that points elsewhere."""

    status: int
    location: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer, read to its end. `unpacked`: the body came compressed, which its headers no longer say."""

    status: int
    fields: CIMultiDictProxy[str]
    body: bytes
    unpacked: bool

    @property
    def text(self) -> str:
        """The body as Go puts bytes into JSON: what is no UTF-8 becomes U+FFFD."""
        return self.body.decode(errors="replace")

    @property
    def headers(self) -> dict[str, list[str]]:
        """Canonical name to values, as Go's client gives them."""
        found = headers.grouped(self.fields.items())
        found.pop("Transfer-Encoding", None)
        if self.unpacked:
            found.pop("Content-Encoding", None)
            found.pop("Content-Length", None)
        return found


class Sender:
    """Makes requests over one session; the limit on how many at once is the executor's."""

    def __init__(self, settings: HTTPSettings, secrets: Secrets, environment: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._secrets = secrets
        self._environment = environment
        self._clock = clock
        self._connector = aiohttp.TCPConnector(limit=0)
        self._ready: dict[int, Sent] = {}  # by the id of what was asked for: requests that are the same for every attempt
        self._plain = self._session()
        reused = aiohttp.TraceConfig()
        reused.on_connection_reuseconn.append(_note_reuse)
        self._watched = self._session(reused)  # watching costs some 60 µs a request

    def _session(self, *traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=list(traces),
            request_class=Asking,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._plain.close()
        await self._watched.close()
        await self._connector.close()

    async def send(self, order: WorkOrder, http: HTTP) -> Outcome:
        """Make the order's request; any trouble is a Failed with Go's text, as retry policies see it."""
        try:
            sent = self._ready.get(id(http)) or await self._prepared(order, http)
            if http.timeout_seconds is None:
                answer = await self._exchange(sent)
            else:
                with anyio.fail_after(http.timeout_seconds):
                    answer = await self._exchange(sent)
            return self._judged(order, http, sent, answer)
        except RequestFailedError as failure:
            return Outcome(kind=OutcomeKind.FAILED, message=str(failure), transient=failure.transient)
        except TimeoutError:
            message = failures.operation(http.method, http.url, failures.DEADLINE_EXCEEDED)
            return Outcome(kind=OutcomeKind.FAILED, message=message, transient=True)

    def _judged(self, order: WorkOrder, http: HTTP, sent: Sent, answer: Answer) -> Outcome:
        text = answer.text
        if not http.success_condition:
            message = "" if 200 <= answer.status < 300 else f"received non-2xx response code: {answer.status}"
        else:
            now = self._clock()
            good = condition.holds(http, sent.body, answer.status, answer.headers, text, now=now, seed=order.id)
            message = "" if good else f"successCondition '{http.success_condition}' evaluated false"
        if not message:
            return Outcome(kind=OutcomeKind.SUCCEEDED, result=text)
        later = self._settings.transient_statuses and answer.status in patience.TRANSIENT_STATUSES
        wait = patience.retry_after_seconds(answer.headers, self._clock()) if later else None
        return Outcome(kind=OutcomeKind.FAILED, message=message, result=text, transient=later, retry_after_seconds=wait)

    async def _prepared(self, order: WorkOrder, http: HTTP) -> Sent:
        method = http.method.upper() or "GET"
        if not _METHOD.fullmatch(method):
            raise RequestFailedError(f'net/http: invalid method "{http.method}"')
        url = _parsed(http.url, method)
        host, pairs = "", []
        for header in http.headers:
            value = await self._value(order.workflow.namespace, header)
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
        made = Sent(
            method=method, url=url, host=host, headers=tuple(pairs), body=_body(http), insecure=http.insecure_skip_verify, http=http
        )
        if method in IDEMPOTENT and len(made.body) <= MOST_KEPT and not any(header.value_from for header in http.headers):
            if len(self._ready) >= MOST_PREPARED:
                self._ready.clear()
            self._ready[id(http)] = made  # which keeps `http`, so that no other has its id
        return made

    async def _value(self, namespace: str, header: HTTPHeader) -> str | None:
        """What the header says; None: it comes from an optional Secret key that nobody has."""
        source = header.value_from and header.value_from.secret_key_ref
        if not source:
            return header.value
        try:
            return await self._secrets.need_secret(namespace, source)
        except SecretMissing as error:
            raise RequestFailedError(str(error)) from error

    async def _exchange(self, first: Sent) -> Answer:
        """The request and the redirects after it, to the answer that counts."""
        sent = first
        for _ in range(MAX_REDIRECTS):
            outcome = await self._once(sent)
            if isinstance(outcome, Answer):
                return outcome
            sent = _redirected(first, sent, outcome)
        raise failures.refused(sent.method, str(sent.url), f"stopped after {MAX_REDIRECTS} redirects")

    async def _once(self, sent: Sent) -> "Answer | Redirect":
        """One exchange; again if a kept connection turned out to be closed, as a server may do at any time.

        aiohttp repeats idempotent requests by itself. The others bear it too, since they carry an idempotency key.
        """
        trace: dict[str, bool] = {}
        try:
            return await self._over_the_wire(sent, trace)
        except _TROUBLES as error:
            stale = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
            if not (stale and trace.get("reused")) or isinstance(error, aiohttp.ClientConnectorError):
                raise failures.translated(error, sent.method, str(sent.url)) from error
        try:
            return await self._over_the_wire(sent, {})
        except _TROUBLES as error:
            raise failures.translated(error, sent.method, str(sent.url)) from error

    async def _over_the_wire(self, sent: Sent, trace: dict[str, bool]) -> "Answer | Redirect":
        unpack = sent.unpacks
        session = self._plain if sent.method in IDEMPOTENT else self._watched
        async with session.request(
            sent.method,
            sent.url if sent.url.raw_user is None else sent.url.with_user(None),
            headers=sent.fields(),
            data=_payload(sent.body),
            allow_redirects=False,
            ssl=not sent.insecure,
            proxy=proxies.proxy_for(sent.url, self._environment) if self._environment else None,
            auto_decompress=unpack,
            trace_request_ctx=trace,
        ) as response:
            if response.status in REDIRECTS and (location := response.headers.get("Location")):
                return Redirect(response.status, location)
            body = await self._read(response)
        unpacked = unpack and response.headers.get("Content-Encoding", "").lower() == "gzip"
        return Answer(status=response.status, fields=response.headers, body=body, unpacked=unpacked)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._settings.max_body_bytes
        chunks, size = [], 0
        try:
            while chunk := await response.content.readany():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise RequestFailedError(f"the response body is longer than {limit} bytes (setting http.max_body_bytes)")
        except _TROUBLES as error:
            raise failures.cut_off(error) from error
        return b"".join(chunks)


def _basic(url: URL) -> str:
    return "Basic " + base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()


def _payload(body: bytes) -> io.BytesIO | bytes | None:
    """A long body as a stream, so that it goes out in pieces and other requests are served between them."""
    return io.BytesIO(body) if len(body) > LONG_BODY else body or None


async def _note_reuse(_session: aiohttp.ClientSession, context: object, _: aiohttp.TraceConnectionReuseconnParams) -> None:
    """Mark the request's trace: its connection had been used before, so the server may have closed it meanwhile."""
    trace = getattr(context, "trace_request_ctx", None)
    if isinstance(trace, dict):
        trace["reused"] = True


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


def _redirected(first: Sent, sent: Sent, redirect: Redirect) -> Sent:
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
