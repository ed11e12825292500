"""One request over the wire and what its answer means: the part that knows aiohttp, imported with the first request.

Plain requests go over connections of our own (`wires`), those through a proxy and those with a long body through aiohttp's session.

Go's client is the model wherever a request could come out different: which headers go out, how redirects are followed (method,
body, credentials, at most ten), no cookies, no timeout of its own but the 30 seconds for a connection.
"""

import asyncio
import functools
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import aiohttp
import anyio
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tiphys.executors.http import condition, failures, headers, patience, proxies, requests
from tiphys.executors.http.failures import RequestFailedError
from tiphys.executors.http.requests import IDEMPOTENT, Redirect, Sent
from tiphys.executors.http.wires import CONNECT_SECONDS, HEADER_BYTES, REDIRECTS, Broken, Reply, Wire, Wires
from tiphys.secrets import SecretMissing, Secrets
from tiphys.settings import HTTPSettings
from tiphys.spec.templates import HTTP, HTTPHeader
from tiphys.spec.work import Outcome, OutcomeKind, WorkOrder

MAX_REDIRECTS = 10
LONG_BODY = 512 * 1024
_TROUBLES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_ADDED: CIMultiDict[None] = CIMultiDict({"Content-Type": None})  # aiohttp would add this, and Accept and User-Agent, by itself; Go does not
MOST_PREPARED, MOST_KEPT = 256, 4096


class Asking(aiohttp.ClientRequest):
    """A request with the headers it is given and no others."""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """A call of aiohttp's, in which it would add headers."""
        del skip_auto_headers
        self._skip_auto_headers = _ADDED


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
        self._proxies = proxies.named(environment)
        self._clock = clock
        self._connector = aiohttp.TCPConnector(limit=0)
        self._ready: dict[int, Sent] = {}  # by the id of what was asked for: requests that are the same for every attempt
        self._wires = Wires(settings.max_body_bytes)
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
        await self._wires.close()
        await self._plain.close()
        await self._watched.close()
        await self._connector.close()

    def begin(self, order: WorkOrder, http: HTTP, hear: Callable[[Sent, Reply | Broken], None]) -> Wire | None:
        """Make the order's request at once over a connection that is there already, and say over which; None: nothing was done."""
        sent = self._ready.get(id(http))
        if sent is None:
            if any(header.value_from for header in http.headers):
                return None
            sent = self._made(order, http, [header.value for header in http.headers])
        if not sent.is_plain or self._proxy(sent):
            return None
        wire = self._wires.free(sent.line.origin)
        if wire is not None:
            wire.ask(sent.line, functools.partial(hear, sent))
        return wire

    def heard(self, order: WorkOrder, http: HTTP, sent: Sent, heard: Reply | Broken) -> Outcome | None:
        """What a begun request came to; None: it has to go on, which `send` does."""
        try:
            if self._again(sent, heard):
                return None
            answer = self._understood(sent, heard)
            return None if isinstance(answer, Redirect) else self._judged(order, http, sent, answer)
        except RequestFailedError as failure:
            return self._failed(failure)

    def timed_out(self, http: HTTP) -> Outcome:
        """What a request came to that took longer than its `timeoutSeconds`."""
        message = failures.operation(http.method, http.url, failures.DEADLINE_EXCEEDED)
        return Outcome(kind=OutcomeKind.FAILED, message=message, transient=True)

    async def send(self, order: WorkOrder, http: HTTP, begun: Reply | Broken | None = None, seconds: float | None = None) -> Outcome:
        """Make the order's request; any trouble is a Failed with Go's text, as retry policies see it.

        `begun` is what its first exchange came to, where that has been made; `seconds` is what is left of its `timeoutSeconds` then.
        """
        try:
            sent = self._ready.get(id(http)) or await self._prepared(order, http)
            seconds = http.timeout_seconds if seconds is None else seconds
            if seconds is None:
                answer = await self._exchange(sent, begun)
            else:
                with anyio.fail_after(seconds):
                    answer = await self._exchange(sent, begun)
            return self._judged(order, http, sent, answer)
        except RequestFailedError as failure:
            return self._failed(failure)
        except TimeoutError:
            return self.timed_out(http)

    @staticmethod
    def _failed(failure: RequestFailedError) -> Outcome:
        return Outcome(kind=OutcomeKind.FAILED, message=str(failure), transient=failure.transient)

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
        return self._made(order, http, [await self._value(order.workflow.namespace, header) for header in http.headers])

    def _made(self, order: WorkOrder, http: HTTP, values: Sequence[str | None]) -> Sent:
        """The request, ready to go. `values` are those of its headers."""
        made = requests.made(order, http, values)
        if made.method in IDEMPOTENT and len(made.body) <= MOST_KEPT and not any(header.value_from for header in http.headers):
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

    async def _exchange(self, first: Sent, begun: Reply | Broken | None) -> Answer:
        """The request and the redirects after it, to the answer that counts."""
        sent = first
        for _ in range(MAX_REDIRECTS):
            if sent.is_plain and not self._proxy(sent):
                outcome = await self._over_a_wire(sent, begun)
            else:
                outcome = await self._once(sent)
            if isinstance(outcome, Answer):
                return outcome
            sent, begun = requests.redirected(first, sent, outcome), None
        raise failures.refused(sent.method, str(sent.url), f"stopped after {MAX_REDIRECTS} redirects")

    async def _over_a_wire(self, sent: Sent, begun: Reply | Broken | None) -> "Answer | Redirect":
        """One exchange; again, over a new connection, where the first ended before anything of an answer came."""
        try:
            heard = begun or await self._asked(sent, self._wires.free(sent.line.origin))
            if self._again(sent, heard):
                heard = await self._asked(sent, None)
        except _TROUBLES as error:
            raise failures.translated(error, sent.method, str(sent.url)) from error
        return self._understood(sent, heard)

    async def _asked(self, sent: Sent, wire: Wire | None) -> Reply | Broken:
        if wire is None:
            url = sent.url if sent.url.raw_user is None else sent.url.with_user(None)
            loop = asyncio.get_running_loop()
            request = Asking(sent.method, url, loop=loop, session=self._plain, ssl=not sent.insecure)
            wire = await self._wires.open(request, sent.line.origin)
        told: asyncio.Future[Reply | Broken] = asyncio.get_running_loop().create_future()
        wire.ask(sent.line, lambda heard: None if told.done() else told.set_result(heard))
        try:
            return await told
        except BaseException:
            wire.shut()
            raise

    @staticmethod
    def _again(sent: Sent, heard: Reply | Broken) -> bool:
        """Whether a request is made again: a server may close a kept connection at any time, and what may be repeated is, once.

        Where the connection was kept, the others bear it too, since they carry an idempotency key.
        """
        return isinstance(heard, Broken) and heard.stale and (heard.reused or sent.method in IDEMPOTENT)

    @staticmethod
    def _understood(sent: Sent, heard: Reply | Broken) -> "Answer | Redirect":
        match heard:
            case Broken(error=RequestFailedError() as error):
                raise error
            case Broken(error=error, inside=True):
                raise failures.cut_off(error) from error
            case Broken(error=error):
                raise failures.translated(error, sent.method, str(sent.url)) from error
            case Reply(redirect=location) if location:
                return Redirect(heard.status, location)
            case Reply():
                unpacked = sent.line.unpack and heard.fields.get("Content-Encoding", "").lower() == "gzip"
                return Answer(status=heard.status, fields=heard.fields, body=heard.body, unpacked=unpacked)

    def _proxy(self, sent: Sent) -> URL | None:
        return proxies.proxy_for(sent.url, self._proxies) if self._proxies else None

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
            proxy=self._proxy(sent),
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


def _payload(body: bytes) -> io.BytesIO | bytes | None:
    """A long body as a stream, so that it goes out in pieces and other requests are served between them."""
    return io.BytesIO(body) if len(body) > LONG_BODY else body or None


async def _note_reuse(_session: aiohttp.ClientSession, context: object, _: aiohttp.TraceConnectionReuseconnParams) -> None:
    """Mark the request's trace: its connection had been used before, so the server may have closed it meanwhile."""
    trace = getattr(context, "trace_request_ctx", None)
    if isinstance(trace, dict):
        trace["reused"] = True
