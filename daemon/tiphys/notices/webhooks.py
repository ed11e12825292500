"""Webhooks: POST of JSON. Only this module of the package knows aiohttp; it is imported with the first webhook."""

import aiohttp
from yarl import URL

from tiphys.notices.errors import SendFailed, shown

CONNECT_SECONDS = 30.0
REDIRECTS = 5
REPEATING = frozenset({307, 308})  # the redirects after which a POST is still a POST
PASSING = frozenset({408, 425, 429})
SAID_BYTES = 400


class Webhooks:
    """A session without cookies. No connection is kept: notifications are rare, and an old one may have been closed over there."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def aclose(self) -> None:
        """Close the session."""
        await self._session.close()

    async def post(self, address: str, headers: dict[str, str], body: bytes, *, hidden: str = "") -> None:
        """POST, following 307 and 308 as long as they stay with the host. Any 2xx is success, else SendFailed.

        `hidden` is what no message may show.
        """
        try:
            url = URL(address)
            for _ in range(REDIRECTS + 1):
                ahead = await self._once(url, headers, body, hidden)
                if ahead is None:
                    return
                url = ahead
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise SendFailed("its url is not one of http or https", transient=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SendFailed(_network(error, hidden), transient=True) from error
        except ValueError as error:
            # The text is dropped: it may show the header.
            raise SendFailed("its url, its token or the notification's id cannot be sent", transient=False) from error
        raise SendFailed(f"more than {REDIRECTS} redirects", transient=False)

    async def _once(self, url: URL, headers: dict[str, str], body: bytes, hidden: str) -> URL | None:
        """One request; the URL to go on with, or None for success."""
        async with self._session.post(url, headers=headers, data=body, allow_redirects=False) as answer:
            if 200 <= answer.status < 300:
                return None
            if answer.status in REPEATING and "Location" in answer.headers:
                return _redirected(url, answer.headers["Location"], answer.status)
            said = shown((await answer.content.read(SAID_BYTES)).decode(errors="replace"), hidden)
        transient = answer.status >= 500 or answer.status in PASSING
        raise SendFailed(f"status {answer.status}" + (f": {said}" if said else ""), transient=transient)


def _redirected(url: URL, location: str, status: int) -> URL:
    """Where a redirect leads: the same server, or the same host by https instead of http; the token is for no other."""
    ahead = url.join(URL(location))
    safer = url.scheme == "http" and ahead.scheme == "https" and ahead.host == url.host
    if not safer and ahead.origin() != url.origin():
        there = shown(str(ahead.origin()))
        raise SendFailed(f"status {status}: it redirects to {there}, and another server is not told; set that one's url", transient=False)
    return ahead


def _network(error: Exception, hidden: str) -> str:
    """What happened, in one line; only the texts of connection errors are known to hold no more than host and port."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return shown(str(error), hidden)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    return shown(error.strerror or type(error).__name__, hidden) if isinstance(error, OSError) else type(error).__name__
