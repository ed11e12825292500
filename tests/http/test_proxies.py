"""Which requests go through a proxy."""

import pytest
from yarl import URL

from tiphys.executors.http.proxies import proxy_for

PROXIES = {"HTTP_PROXY": "http://p:1", "https_proxy": "q:2"}


@pytest.mark.parametrize(
    ("url", "rules", "proxy"),
    [
        ("http://a.example/", "", "http://p:1"),
        ("https://a.example/", "", "http://q:2"),
        ("http://localhost/", "", None),
        ("http://127.3.2.1/", "", None),
        ("http://[::1]/", "", None),
        ("http://a.example/", "*", None),
        ("http://a.example/", "b.example, example", None),
        ("http://a.example/", ".example", None),
        ("http://example/", ".example", "http://p:1"),
        ("http://aexample/", "example", "http://p:1"),
        ("http://a.example/", "*.example", None),
        ("http://A.Example/", "a.EXAMPLE", None),
        ("http://a.example:8080/", "a.example:8080", None),
        ("http://a.example/", "a.example:8080", "http://p:1"),
        ("http://10.1.2.3/", "10.0.0.0/8", None),
        ("http://10.1.2.3/", "10.1.2.3", None),
        ("http://11.1.2.3/", "10.0.0.0/8", "http://p:1"),
        ("http://10.1.2.3/", "example", "http://p:1"),
        ("http://[fd00::1]/", "fd00::/8", None),
    ],
)
def test_no_proxy_rules(url, rules, proxy):
    found = proxy_for(URL(url), {**PROXIES, "NO_PROXY": rules})
    assert (None if found is None else str(found).rstrip("/")) == proxy


def test_without_variables_every_request_is_direct():
    assert proxy_for(URL("http://a.example/"), {}) is None
