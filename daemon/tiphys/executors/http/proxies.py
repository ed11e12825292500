"""Which proxy a request goes through, by the variables that Go's client reads: HTTP_PROXY, HTTPS_PROXY, NO_PROXY."""

import ipaddress
from collections.abc import Mapping

from yarl import URL


def named(environment: Mapping[str, str]) -> Mapping[str, str]:
    """What of an environment says which proxies there are; nothing where there are none."""
    found = {name: value for name, value in environment.items() if name.lower() in {"http_proxy", "https_proxy", "no_proxy"} and value}
    return found if any(name.lower() != "no_proxy" for name in found) else {}


def proxy_for(url: URL, environment: Mapping[str, str]) -> URL | None:
    """The proxy for `url`, or None for a direct connection; this machine itself is never asked through one."""
    given = _variable(environment, f"{url.scheme}_proxy")
    host = url.raw_host or ""
    if not given or _local(host) or _exempt(host, url.port, _variable(environment, "no_proxy")):
        return None
    return URL(given if "://" in given else f"http://{given}")


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.upper()) or environment.get(name) or ""


def _local(host: str) -> bool:
    if host == "localhost":
        return True
    address = _ip(host)
    return address is not None and address.is_loopback


def _exempt(host: str, port: int | None, rules: str) -> bool:
    return any(_covers(rule.strip().lower(), host.lower(), port) for rule in rules.split(",") if rule.strip())


def _covers(rule: str, host: str, port: int | None) -> bool:
    """One entry of NO_PROXY: `*`, an address, a network, a name (with all below it) or `.name` (only what is below it)."""
    if rule == "*":
        return True
    name, colon, wanted = rule.rpartition(":")
    if colon and wanted.isdigit() and (":" not in name or name.startswith("[")):
        if int(wanted) != port:
            return False
        rule = name.strip("[]")
    if (address := _ip(host)) is not None:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    if rule.startswith("*."):
        rule = rule[1:]
    return host.endswith(rule) if rule.startswith(".") else host == rule or host.endswith(f".{rule}")


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
