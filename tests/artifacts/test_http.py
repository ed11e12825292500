"""HTTP artifacts against a real server: what is sent, what is followed, what is tried again, and what is never shown."""

import base64
import ssl

import pytest
from aiohttp import web

from tests.artifacts import certificates
from tiphys import settings
from tiphys.artifacts import store
from tiphys.artifacts.errors import ArtifactError, ArtifactMissing
from tiphys.artifacts.retrying import Backoff
from tiphys.secrets import Secrets
from tiphys.spec.artifacts import (
    ArchiveStrategy,
    Artifact,
    Artifactory,
    BasicAuth,
    ClientCert,
    Header,
    HTTPArtifact,
    HTTPAuth,
    NoneStrategy,
    OAuth2,
    OAuth2EndpointParam,
)
from tiphys.spec.parameters import KeySelector
from tiphys.spec.workflows import ObjectMeta, Secret

pytestmark = pytest.mark.asyncio

NONE = ArchiveStrategy(none=NoneStrategy())
PASSWORD = "pässword"


def key(name: str) -> KeySelector:
    return KeySelector(name="web", key=name)


class Site:
    """Keeps what is PUT, answers as told first, and remembers the requests."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.requests: list[web.Request] = []
        self.answers: list[web.Response] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        body = await request.read()
        if self.answers:
            return self.answers.pop(0)
        if request.method == "PUT":
            self.kept[request.path] = body
            return web.Response(status=201)
        if request.path == "/token":
            return self.token(request, body.decode())
        if request.path not in self.kept:
            raise web.HTTPNotFound
        return web.Response(body=self.kept[request.path])

    def token(self, request: web.Request, form: str) -> web.Response:
        if "client_secret=" not in form:
            return web.Response(status=401)
        self.form = form
        return web.json_response({"access_token": "t0ken", "token_type": "bearer"})


async def running(site: Site, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", site.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await listening.start()
    site.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@pytest.fixture
async def site():
    made = Site()
    runner = await running(made)
    yield made
    await runner.cleanup()


class Waits(list):
    async def sleep(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits():
    return Waits()


@pytest.fixture
async def artifacts(tmp_path, site, waits):
    values = {"user": "me", "password": PASSWORD, "id": "me:too", "secret": "cl13nt", "token": f"{site.url}/token"}
    secret = Secret(api_version="v1", metadata=ObjectMeta(name="web"), string_data=values)
    async with store.Artifacts(
        settings.ArtifactSettings(), tmp_path / "local", Secrets([secret]), backoff=Backoff(sleep=waits.sleep)
    ) as opened:
        yield opened


def at(url: str, archive: ArchiveStrategy | None = NONE, **fields) -> Artifact:
    return Artifact(name="x", archive=archive, http=HTTPArtifact(url=url, **fields))


async def test_put_then_get(site, artifacts, tmp_path):
    (tmp_path / "s").write_bytes(b"x" * 3_000_000)
    await artifacts.save(at(f"{site.url}/a"), tmp_path / "s", "default")
    await artifacts.load(at(f"{site.url}/a"), tmp_path / "d", "default")
    assert (tmp_path / "d").read_bytes() == b"x" * 3_000_000
    assert site.requests[0].headers["Content-Length"] == "3000000"


async def test_a_folder_is_packed_and_unpacked(site, artifacts, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "f").write_text("x")
    await artifacts.save(at(f"{site.url}/a", None), tmp_path / "s", "default")
    await artifacts.load(at(f"{site.url}/a", None), tmp_path / "d", "default")
    assert (tmp_path / "d" / "f").read_text() == "x"
    with pytest.raises(ArtifactError, match="use archive tar or zip"):
        await artifacts.save(at(f"{site.url}/a"), tmp_path / "s", "default")


async def test_headers_and_basic_authentication_are_sent(site, artifacts, tmp_path):
    site.kept["/a"] = b"x"
    basic = HTTPAuth(basic_auth=BasicAuth(username_secret=key("user"), password_secret=key("password")))
    headers = (Header(name="X-One", value="1"), Header(name="X-One", value="2"))
    await artifacts.load(at(f"{site.url}/a", auth=basic, headers=headers), tmp_path / "d", "default")
    assert site.requests[0].headers.getall("X-One") == ["1", "2"]
    assert site.requests[0].headers["Authorization"] == "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()


async def test_artifactory_is_http_with_a_password(site, artifacts, tmp_path):
    (tmp_path / "s").write_text("x")
    place = Artifactory(url=f"{site.url}/repo/f", username_secret=key("user"), password_secret=key("password"))
    await artifacts.save(Artifact(name="x", artifactory=place, archive=NONE), tmp_path / "s", "default")
    assert site.kept == {"/repo/f": b"x"}
    assert "Authorization" in site.requests[0].headers


async def test_oauth2_client_credentials_fall_back_to_the_form(site, artifacts, tmp_path):
    site.kept["/a"] = b"x"
    oauth2 = OAuth2(
        client_id_secret=key("id"),
        client_secret_secret=key("secret"),
        token_url_secret=key("token"),
        scopes=("r", "w"),
        endpoint_params=(OAuth2EndpointParam(key="audience", value="all"),),
    )
    await artifacts.load(at(f"{site.url}/a", auth=HTTPAuth(oauth2=oauth2)), tmp_path / "d", "default")
    assert [request.path for request in site.requests] == ["/token", "/token", "/a"]
    assert site.form == "grant_type=client_credentials&audience=all&scope=r+w&client_id=me%3Atoo&client_secret=cl13nt"
    assert site.requests[2].headers["Authorization"] == "Bearer t0ken"


async def test_a_put_follows_307_and_tells_the_password_to_no_other_site(site, artifacts, tmp_path):
    other = Site()
    runner = await running(other)
    site.answers = [
        web.Response(status=307, headers={"Location": "/near"}),
        web.Response(status=307, headers={"Location": f"{other.url}/far"}),
    ]
    (tmp_path / "s").write_text("x")
    basic = HTTPAuth(basic_auth=BasicAuth(username_secret=key("user"), password_secret=key("password")))
    await artifacts.save(at(f"{site.url}/a", auth=basic), tmp_path / "s", "default")
    assert [request.path for request in site.requests] == ["/a", "/near"]
    assert "Authorization" in site.requests[1].headers
    assert other.kept == {"/far": b"x"}
    assert "Authorization" not in other.requests[0].headers
    await runner.cleanup()


async def test_a_put_redirected_for_ever_or_otherwise_is_an_error(site, artifacts, tmp_path):
    (tmp_path / "s").write_text("x")
    site.answers = [web.Response(status=307, headers={"Location": "/a"}) for _ in range(10)]
    with pytest.raises(ArtifactError, match="more than 10 redirects"):
        await artifacts.save(at(f"{site.url}/a"), tmp_path / "s", "default")
    site.answers = [web.Response(status=302, headers={"Location": "/b"})]
    with pytest.raises(ArtifactError, match="status 302"):
        await artifacts.save(at(f"{site.url}/a"), tmp_path / "s", "default")
    assert site.kept == {}


async def test_404_is_missing_and_a_refusal_is_final(site, artifacts, tmp_path, waits):
    with pytest.raises(ArtifactMissing, match="/none: not found"):
        await artifacts.load(at(f"{site.url}/none"), tmp_path / "d", "default")
    site.answers = [web.Response(status=403, text="keep out")]
    with pytest.raises(ArtifactError, match="status 403: keep out") as caught:
        await artifacts.load(at(f"{site.url}/none"), tmp_path / "d", "default")
    assert (caught.value.transient, waits) == (False, [])
    assert not (tmp_path / "d").exists()


async def test_what_passes_is_waited_out(site, artifacts, tmp_path, waits):
    (tmp_path / "s").write_text("x")
    site.answers = [web.Response(status=status) for status in (503, 429, 408, 500)]
    await artifacts.save(at(f"{site.url}/a"), tmp_path / "s", "default")
    assert site.kept == {"/a": b"x"}
    assert len(waits) == 4
    site.answers = [web.Response(status=503) for _ in range(5)]
    with pytest.raises(ArtifactError, match="status 503") as caught:
        await artifacts.load(at(f"{site.url}/a"), tmp_path / "d", "default")
    assert caught.value.transient


async def test_a_body_that_is_cut_is_fetched_again(artifacts, tmp_path, waits):
    calls = 0

    async def cut(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        answer = web.StreamResponse(headers={"Content-Length": "10"})
        await answer.prepare(request)
        await answer.write(b"01234")
        if calls == 1:
            request.transport.close()
        else:
            await answer.write(b"56789")
        return answer

    broken = Site()
    broken.handle = cut
    runner = await running(broken)
    await artifacts.load(at(f"{broken.url}/a"), tmp_path / "d", "default")
    await runner.cleanup()
    assert (tmp_path / "d").read_bytes() == b"0123456789"
    assert len(waits) == 1


async def test_errors_do_not_show_what_a_url_keeps(site, artifacts, tmp_path):
    secretive = site.url.replace("http://", "http://me:hunter2@") + "/none?signature=abc123#x"
    with pytest.raises(ArtifactError) as caught:
        await artifacts.load(at(secretive), tmp_path / "d", "default")
    assert "hunter2" not in str(caught.value)
    assert "abc123" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "http://", "http://[", "ftp://x/y", ""])
async def test_what_is_no_http_url_is_refused(artifacts, tmp_path, url):
    with pytest.raises(ArtifactError, match="url"):
        await artifacts.load(at(url), tmp_path / "d", "default")


async def test_a_header_that_smuggles_is_refused(site, artifacts, tmp_path):
    with pytest.raises(ArtifactError):
        await artifacts.load(at(f"{site.url}/a", headers=(Header(name="X", value="1\r\nY: 2"),)), tmp_path / "d", "default")
    assert site.requests == []


async def test_nothing_can_be_listed_or_deleted(site, artifacts):
    with pytest.raises(ArtifactError, match="cannot be listed"):
        await artifacts.list_keys(at(f"{site.url}/a"), "default")
    with pytest.raises(ArtifactError, match="cannot be deleted"):
        await artifacts.delete(at(f"{site.url}/a"), "default")


async def test_a_client_certificate_is_shown_to_the_server(tmp_path, waits, monkeypatch):
    authority = certificates.authority(tmp_path)
    certificate, private = certificates.signed(tmp_path, "client", authority)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority[0]))
    tls.load_cert_chain(*certificates.signed(tmp_path, "localhost", authority))
    tls.verify_mode = ssl.CERT_REQUIRED
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    closed = Site()
    closed.kept["/a"] = b"x"
    runner = await running(closed, tls)
    values = {"cert": certificate.read_text(), "key": private.read_text(), "other": authority[1].read_text()}
    secret = Secret(api_version="v1", metadata=ObjectMeta(name="web"), string_data=values)
    async with store.Artifacts(settings.ArtifactSettings(), tmp_path, Secrets([secret]), backoff=Backoff(sleep=waits.sleep)) as artifacts:
        shown = HTTPAuth(client_cert=ClientCert(client_cert_secret=key("cert"), client_key_secret=key("key")))
        await artifacts.load(at(f"{closed.url}/a", auth=shown), tmp_path / "d", "default")
        assert (tmp_path / "d").read_bytes() == b"x"
        wrong = HTTPAuth(client_cert=ClientCert(client_cert_secret=key("cert"), client_key_secret=key("other")))
        with pytest.raises(ArtifactError, match="belong together"):
            await artifacts.load(at(f"{closed.url}/a", auth=wrong), tmp_path / "d", "default")
    await runner.cleanup()


async def test_a_certificate_nobody_vouches_for_is_final_at_once(tmp_path, waits):
    authority = certificates.authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificates.signed(tmp_path, "localhost", authority))
    closed = Site()
    runner = await running(closed, tls)
    async with store.Artifacts(settings.ArtifactSettings(), tmp_path, Secrets(), backoff=Backoff(sleep=waits.sleep)) as artifacts:
        with pytest.raises(ArtifactError) as caught:
            await artifacts.load(at(f"{closed.url}/a"), tmp_path / "d", "default")
    await runner.cleanup()
    assert (caught.value.transient, waits) == (False, [])
