"""Nobody comes in from elsewhere without TLS and a token; what cannot be listened at or shown is refused by name."""

import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from tests.certified import certified, needed
from tiphys.errors import InvalidSettings
from tiphys.service import certificates, entrances, sockets
from tiphys.service.entrances import Address
from tiphys.service.sockets import ServiceRefused
from tiphys.settings import ServerSettings


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("127.0.0.1:2746", [Address(host="127.0.0.1", port=2746)]),
        ("[::1]:1, localhost:2", [Address(host="::1", port=1), Address(host="localhost", port=2)]),
        ("*:80 :81", [Address(host="*", port=80), Address(host="", port=81)]),
    ],
)
def test_addresses(text, found):
    assert entrances.addresses(text) == found


@pytest.mark.parametrize("text", ["x", "host:", "host:x", "1:2:3", "::1:80", "host:65536", "host:-1", "host:²"])
def test_what_is_no_address_is_named(text):
    with pytest.raises(InvalidSettings, match="is no address; it is written HOST:PORT"):
        entrances.addresses(text)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": "x"}, "is no address"),
        ({"origins": ("https://example.org/",)}, "is no origin"),
        ({"origins": ("example.org",)}, "is no origin"),
        ({"origins": ("*",)}, "is no origin"),
        ({"origins": ("https://Example.org",)}, "is no origin"),
        ({"tls_key": "key.pem"}, "server.tls_certificate is not"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, said):
    entrances.check(ServerSettings(origins=("https://example.org", "http://localhost:3000", "http://[::1]:80")))
    with pytest.raises(InvalidSettings, match=said):
        entrances.check(ServerSettings(**settings))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_loopback(host):
    assert entrances.is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost", "::ffff:10.0.0.1", "fe80::1%eth0", ""])
def test_what_is_not_loopback(host):
    assert not entrances.is_loopback(host)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "*:0"])
@pytest.mark.parametrize("tls", ["", "cert.pem"])
@pytest.mark.parametrize("count", [0, 1])
def test_from_elsewhere_nobody_comes_without_tls_and_a_token(listen, tls, count):
    found = entrances.listeners(listen)
    try:
        settings = ServerSettings(listen=listen, tls_certificate=tls, insecure_loopback=True)
        if tls and count:
            entrances.judge(found, settings, count)
            return
        with pytest.raises(InvalidSettings, match="can be reached from elsewhere, and there is not a") as raised:
            entrances.judge(found, settings, count)
        assert ("a certificate" in str(raised.value)) is not bool(tls)
        assert ("a token" in str(raised.value)) is not bool(count)
    finally:
        for one in found:
            one.close()


def test_a_socket_of_the_units_is_judged_too():
    with socket.socket() as one:
        one.bind(("0.0.0.0", 0))
        one.listen()
        with pytest.raises(InvalidSettings, match="can be reached from elsewhere"):
            entrances.judge([one], ServerSettings(), 1)


def test_loopback_and_unix_sockets_are_let_be(tmp_path):
    found = [*entrances.listeners("127.0.0.1:0"), sockets.unix_listener(tmp_path / "s", "")]
    entrances.judge(found, ServerSettings(), 0)
    for one in found:
        one.close()


def test_a_place_that_is_taken_or_unknown_is_named():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        with pytest.raises(ServiceRefused, match=r"cannot listen at 127.0.0.1:\d+ .*Address already in use; see the setting server.listen"):
            entrances.listeners(f"127.0.0.1:{one.getsockname()[1]}")
    with pytest.raises(InvalidSettings, match="there is no such host"):
        entrances.listeners("nothing.invalid:80")


def test_groups_are_those_that_may_write_to_a_socket(tmp_path):
    one = sockets.unix_listener(tmp_path / "s", "")
    assert sockets.groups([one]) == frozenset()
    (tmp_path / "s").chmod(0o660)
    assert sockets.groups([one]) == {(tmp_path / "s").stat().st_gid}
    one.close()


def test_a_certificate_is_loaded_with_tls_1_2_at_least(tmp_path):
    files = certified(tmp_path)
    context = certificates.context(str(files.chain), str(files.key))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    both = tmp_path / "both.pem"
    both.write_bytes(files.chain.read_bytes() + files.key.read_bytes())
    certificates.context(str(both), "")


def test_a_certificate_that_is_no_good_is_named(tmp_path):
    files, other = certified(tmp_path), certified(tmp_path / "other")
    with pytest.raises(InvalidSettings, match="cannot be read: No such file"):
        certificates.context(str(tmp_path / "none.pem"), "")
    with pytest.raises(InvalidSettings, match="the key does not belong to the certificate"):
        certificates.context(str(files.chain), str(other.key))
    with pytest.raises(InvalidSettings, match="no certificate with its key"):
        certificates.context(str(files.key), str(files.key))
    locked = tmp_path / "locked.pem"
    serialization = needed("cryptography.hazmat.primitives.serialization")
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    how = serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
    with pytest.raises(InvalidSettings, match="must not be encrypted"):
        certificates.context(str(files.chain), str(locked))


def test_when_a_certificate_expires_is_read_from_it(tmp_path):
    for until in (datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC), datetime(2055, 1, 2, 3, 4, 5, tzinfo=UTC)):  # UTCTime, GeneralizedTime
        files = certified(tmp_path, until=until)
        assert certificates.good_until(files.chain) == until
    assert certificates.good_until(certified(tmp_path).chain) > datetime.now(UTC) + timedelta(days=30)
    with pytest.raises(ValueError, match="no certificate in PEM form"):
        certificates.good_until(files.key)
    odd = tmp_path / "odd.pem"
    odd.write_text("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
    with pytest.raises(ValueError, match="not a certificate"):
        certificates.good_until(odd)
