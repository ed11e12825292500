"""HTTP artifacts: GET loads, PUT saves, with headers, basic authentication, client certificates and OAuth2 client credentials."""

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import aiohttp
import anyio.to_thread
from yarl import URL

from tiphys.artifacts import streams, trees
from tiphys.artifacts.credentials import Credentials, in_memory
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.artifacts.retrying import Backoff
from tiphys.spec.artifacts import ClientCert, HTTPArtifact, OAuth2

CONNECT_SECONDS = 30
SILENT_SECONDS = 300
REDIRECTS = 10
SHOWN_CHARACTERS = 200
FOLLOWED = frozenset({307, 308})
PASSING = frozenset({408, 425, 429})

Headers = list[tuple[str, str]]


def open_session() -> aiohttp.ClientSession:
    """A session without cookies, to be closed by its owner."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
    return aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


class HTTPPlace:
    """One URL."""

    def __init__(self, location: HTTPArtifact, credentials: Credentials, session: aiohttp.ClientSession, backoff: Backoff) -> None:
        self._location = location
        self._credentials = credentials
        self._session = session
        self._backoff = backoff

    async def fetch(self, to: Path) -> None:
        """GET into one file; 404 is ArtifactMissing."""
        headers, tls = await self._access()
        await self._backoff.retried(partial(self._get, headers, tls, to))

    async def store_file(self, source: Path) -> None:
        """PUT one file, to where 307 and 308 lead."""
        headers, tls = await self._access()
        size = await anyio.to_thread.run_sync(_size, source)
        await self._backoff.retried(partial(self._put, [*headers, ("Content-Length", str(size))], tls, source))

    async def store_folder(self, source: Path) -> None:
        """Not possible."""
        raise ArtifactError(f"{source.name} is a folder and an http artifact is one file: use archive tar or zip")

    async def keys(self) -> list[str]:
        """Not possible."""
        raise ArtifactError("http artifacts cannot be listed")

    async def delete(self) -> None:
        """Not possible."""
        raise ArtifactError("http artifacts cannot be deleted")

    async def _get(self, headers: Headers, tls: ssl.SSLContext | bool, to: Path) -> None:
        with _translated("GET", self._url):
            async with self._session.get(self._url, headers=headers, ssl=tls, max_redirects=REDIRECTS) as answer:
                await _judge(answer, "GET", self._url)
                await streams.write(to, answer.content.iter_chunked(trees.CHUNK_BYTES))

    async def _put(self, headers: Headers, tls: ssl.SSLContext | bool, source: Path) -> None:
        url = self._url
        for _ in range(REDIRECTS):
            with _translated("PUT", url):
                async with self._session.put(url, headers=headers, ssl=tls, data=streams.read(source), allow_redirects=False) as answer:
                    if answer.status not in FOLLOWED or "Location" not in answer.headers:
                        await _judge(answer, "PUT", url)
                        return
                    ahead = url.join(URL(answer.headers["Location"]))
            if ahead.origin() != url.origin():
                headers = [(name, value) for name, value in headers if name.lower() not in {"authorization", "cookie"}]
            url = ahead
        raise ArtifactError(f"PUT {_shown(self._url)}: more than {REDIRECTS} redirects")

    @property
    def _url(self) -> URL:
        try:
            url = URL(self._location.url)
        except ValueError as error:
            raise ArtifactError("the http artifact's url is not a URL") from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise ArtifactError(f"the http artifact's url {_shown(url)} does not begin with http:// or https:// and a host")
        return url

    async def _access(self) -> tuple[Headers, ssl.SSLContext | bool]:
        headers = [(header.name, header.value) for header in self._location.headers]
        auth = self._location.auth
        tls: ssl.SSLContext | bool = True
        if auth is not None and auth.client_cert is not None:
            tls = await self._client_certificate(auth.client_cert)
        if auth is not None and auth.basic_auth is not None and auth.basic_auth.username_secret is not None:
            user = await self._credentials.value(auth.basic_auth.username_secret)
            headers.append(("Authorization", _basic(user, await self._credentials.value(auth.basic_auth.password_secret))))
        if auth is not None and auth.oauth2 is not None and auth.oauth2.token_url_secret is not None:
            headers.append(("Authorization", await self._backoff.retried(partial(self._token, auth.oauth2))))
        return headers, tls

    async def _client_certificate(self, names: ClientCert) -> ssl.SSLContext:
        certificate = await self._credentials.value(names.client_cert_secret)
        key = await self._credentials.value(names.client_key_secret)
        return await anyio.to_thread.run_sync(_context, certificate, key)

    async def _token(self, oauth2: OAuth2) -> str:
        """The Authorization header that the token endpoint gives for the client credentials."""
        try:
            url = URL(await self._credentials.value(oauth2.token_url_secret))
        except ValueError as error:
            raise ArtifactError("the token URL of oauth2.tokenURLSecret is not a URL") from error
        identity = await self._credentials.value(oauth2.client_id_secret)
        secret = await self._credentials.value(oauth2.client_secret_secret)
        form = [("grant_type", "client_credentials"), *((each.key, each.value) for each in oauth2.endpoint_params)]
        if oauth2.scopes:
            form.append(("scope", " ".join(oauth2.scopes)))
        # Servers want the credentials in the header or in the form; which, only trying tells.
        with _translated("POST", url):
            async with self._session.post(url, data=form, headers={"Authorization": _basic(identity, secret)}) as answer:
                if answer.ok:
                    return await _bearer(answer, url)
                if _passes(answer.status):
                    await _judge(answer, "POST", url)
            form += [("client_id", identity), ("client_secret", secret)]
            async with self._session.post(url, data=form) as answer:
                if not answer.ok:
                    message = f"POST {_shown(url)}: the token was refused with status {answer.status}"
                    raise ArtifactError(message, transient=_passes(answer.status))
                return await _bearer(answer, url)


def _size(source: Path) -> int:
    return source.lstat().st_size


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode(errors="surrogateescape")).decode()


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    with in_memory(certificate) as certificate_file, in_memory(key) as key_file:
        try:
            context.load_cert_chain(certificate_file, key_file)
        except (ssl.SSLError, OSError) as error:
            raise ArtifactError("the client certificate or its key cannot be used: both must be PEM and belong together") from error
    return context


async def _bearer(answer: aiohttp.ClientResponse, url: URL) -> str:
    try:
        given = await answer.json(content_type=None)
        return f"Bearer {given['access_token']}"
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"POST {_shown(url)}: the answer holds no access_token") from error


def _shown(url: URL) -> str:
    """The URL without what may be secret: user, query and fragment."""
    return str(url.with_user(None).with_query(None).with_fragment(None)) if url.absolute else url.path


def _passes(status: int) -> bool:
    return status >= 500 or status in PASSING


async def _judge(answer: aiohttp.ClientResponse, method: str, url: URL) -> None:
    if 200 <= answer.status < 300:
        return
    if answer.status == 404:
        raise ArtifactMissing(f"{method} {_shown(url)}: not found (status 404)")
    said = (await answer.content.read(SHOWN_CHARACTERS)).decode(errors="replace").strip()
    message = f"{method} {_shown(url)}: status {answer.status}" + (f": {said}" if said else "")
    raise ArtifactError(message, transient=_passes(answer.status))


@contextmanager
def _translated(method: str, url: URL) -> Iterator[None]:
    try:
        yield
    except (aiohttp.InvalidURL, aiohttp.TooManyRedirects, aiohttp.ClientSSLError) as error:
        raise ArtifactError(f"{method} {_shown(url)}: {type(error).__name__}") from error
    except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
        said = str(error) if isinstance(error, OSError) else type(error).__name__
        raise ArtifactError(f"{method} {_shown(url)}: {said}", transient=True) from error
    except ValueError as error:  # a header or URL that aiohttp does not take
        raise ArtifactError(f"{method} {_shown(url)}: a header or the URL is not valid") from error
