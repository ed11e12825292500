"""Which messages tell of a passing trouble."""

import pytest

from tiphys.spec.transient import is_transient


@pytest.mark.parametrize(
    "message",
    [
        'Get "http://x/": dial tcp 10.0.0.1:80: connect: connection refused',
        "read tcp 10.0.0.1:1->10.0.0.2:80: read: connection reset by peer",
        "dial tcp 10.0.0.1:80: i/o timeout",
        "net/http: TLS handshake timeout",
        "main: connection timed out",
        'Post "https://x/a?b": EOF',
        'Get "https://x/": unexpected EOF',
        "unexpected EOF",
        "http2: client connection lost",
        "http2: server sent GOAWAY and closed the connection; LastStreamID=1",
        "etcdserver: leader changed",
        "etcdserver: request timed out",
        "etcdserver: too many requests",
        "dial tcp: lookup x on 127.0.0.11:53: no such host",
        "client rate limiter Wait returned an error: context deadline exceeded",
        "Connection closed by foreign host",
        "first line\nread: connection reset by peer",
    ],
)
def test_network_troubles_pass(message):
    assert is_transient(message)


@pytest.mark.parametrize(
    "message", ["", "main: Error (exit code 1)", "EOF", "syntax error near EOF", "received non-2xx response code: 500"]
)
def test_other_failures_do_not(message):
    assert not is_transient(message)


def test_the_operators_pattern_is_searched_too_and_a_broken_one_matches_nothing():
    assert is_transient("main: disk busy (17)", r"busy \(\d+\)")
    assert not is_transient("main: disk gone", r"busy \(\d+\)")
    assert not is_transient("main: disk busy", r"busy (")
