"""The certificate that callers over the network are shown: loading it, and how long it is good.

Everything here blocks for a moment: call it before the loop runs, or in a thread.
"""

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

from tiphys.errors import InvalidSettings

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
SEQUENCE, VERSION, UTC_TIME = 0x30, 0xA0, 0x17


def context(certificate: str, key: str) -> ssl.SSLContext:
    """What serves TLS 1.2 and later with a certificate. Raises InvalidSettings."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    load(made, certificate, key)
    return made


def renew(serving: ssl.SSLContext, certificate: str, key: str) -> None:
    """Show new callers the files' certificate as it is now; where they are no good the one before stays. Raises InvalidSettings."""
    load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)  # a context that was half loaded could serve nobody
    load(serving, certificate, key)


def load(into: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load certificate and key; `key` "": from the certificate's file. Raises InvalidSettings."""
    chain = Path(certificate).expanduser()
    private = Path(key).expanduser() if key else None
    try:
        into.load_cert_chain(chain, private, password=_locked)
    except ssl.SSLError as error:
        mixed = "MISMATCH" in str(error).upper()
        what = "the key does not belong to the certificate" if mixed else "no certificate with its key in PEM form"
        raise InvalidSettings(f"server.tls_certificate {chain}, server.tls_key {private or chain}: {what}") from error
    except OSError as error:
        named = f"server.tls_certificate {chain}" + (f" or server.tls_key {private}" if private else "")
        raise InvalidSettings(f"{named}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidSettings(f"server.tls_key {private or chain}: it must not be encrypted; nobody types a password") from error


def _locked() -> str:
    raise ValueError


def good_until(certificate: Path) -> datetime:
    """When the first certificate of a PEM file expires. Raises ValueError where there is none, and OSError."""
    found = PEM.search(certificate.read_bytes())
    if found is None:
        raise ValueError(f"there is no certificate in PEM form in {certificate}")
    return _not_after(ssl.PEM_cert_to_DER_cert(found[0].decode("ascii")))


def _not_after(der: bytes) -> datetime:
    """RFC 5280, 4.1: Certificate, in it TBSCertificate: [version], serial, algorithm, issuer, validity: notBefore, notAfter."""
    _, outer, _ = _element(der)
    _, rest, _ = _element(outer)
    tag, _, after = _element(rest)
    if tag == VERSION:
        rest = after
    for _ in range(3):
        _, _, rest = _element(rest)
    tag, validity, _ = _element(rest)
    if tag != SEQUENCE:
        raise ValueError("this is not a certificate")
    _, _, rest = _element(validity)
    tag, text, _ = _element(rest)
    form = "%y%m%d%H%M%SZ" if tag == UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """The tag and content of the first element, and what follows it."""
    if len(der) < 2:
        raise ValueError("this is not a certificate")
    tag, length, start = der[0], der[1], 2
    if length >= 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start])
    return tag, der[start : start + length], der[start + length :]
