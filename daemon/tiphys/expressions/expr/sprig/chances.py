"""Sprig's random values, all from the event's seed; and the functions that Tiphys refuses."""

import base64
import hashlib
import hmac
import string
import uuid

from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Registry
from tiphys.expressions.expr.runs import Run

TABLE = Registry("sprig.")
_LONGEST = 1 << 20


def _drawn(run: Run, alphabet: str, count: int) -> str:
    if count > _LONGEST:
        raise Fault("memory budget exceeded: the text is too long")
    run.spend(max(0, count))
    return "".join(run.random.choices(alphabet, k=max(0, count)))


@TABLE.add("randAlphaNum")
def _rand_alpha_num(run: Run, count: int) -> str:
    return _drawn(run, string.ascii_letters + string.digits, count)


@TABLE.add("randAlpha")
def _rand_alpha(run: Run, count: int) -> str:
    return _drawn(run, string.ascii_letters, count)


@TABLE.add("randNumeric")
def _rand_numeric(run: Run, count: int) -> str:
    return _drawn(run, string.digits, count)


@TABLE.add("randAscii")
def _rand_ascii(run: Run, count: int) -> str:
    return _drawn(run, "".join(map(chr, range(32, 127))), count)


@TABLE.add("randBytes")
def _rand_bytes(run: Run, count: int) -> str:
    if not 0 <= count <= _LONGEST:
        raise Fault("memory budget exceeded: the text is too long")
    run.spend(count)
    return base64.b64encode(run.random.randbytes(count)).decode()


@TABLE.add("uuidv4")
def _uuidv4(run: Run) -> str:
    return str(uuid.UUID(bytes=run.random.randbytes(16), version=4))


@TABLE.add("shuffle")
def _shuffle(run: Run, source: str) -> str:
    run.spend(len(source))
    characters = list(source)
    run.random.shuffle(characters)
    return "".join(characters)


# --- passwords derived from a master password (the published Master Password algorithm)

_VOWELS, _CONSONANTS = "AEIOU", "BCDFGHJKLMNPQRSTVWXYZ"
_CLASSES = {
    "V": _VOWELS,
    "C": _CONSONANTS,
    "v": _VOWELS.lower(),
    "c": _CONSONANTS.lower(),
    "A": _VOWELS + _CONSONANTS,
    "a": _VOWELS + _VOWELS.lower() + _CONSONANTS + _CONSONANTS.lower(),
    "n": string.digits,
    "o": "@&%?,=[]_:-+*$#!'^~;()/.",
    "x": _VOWELS + _VOWELS.lower() + _CONSONANTS + _CONSONANTS.lower() + string.digits + "!@#$%^&*()",
}
_TEMPLATES = {
    "maximum": ("anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"),
    "long": (
        "CvcvnoCvcvCvcv",
        "CvcvCvcvnoCvcv",
        "CvcvCvcvCvcvno",
        "CvccnoCvcvCvcv",
        "CvccCvcvnoCvcv",
        "CvccCvcvCvcvno",
        "CvcvnoCvccCvcv",
        "CvcvCvccnoCvcv",
        "CvcvCvccCvcvno",
        "CvcvnoCvcvCvcc",
        "CvcvCvcvnoCvcc",
        "CvcvCvcvCvccno",
        "CvccnoCvccCvcv",
        "CvccCvccnoCvcv",
        "CvccCvccCvcvno",
        "CvcvnoCvccCvcc",
        "CvcvCvccnoCvcc",
        "CvcvCvccCvccno",
        "CvccnoCvcvCvcc",
        "CvccCvcvnoCvcc",
        "CvccCvcvCvccno",
    ),
    "medium": ("CvcnoCvc", "CvcCvcno"),
    "short": ("Cvcn",),
    "basic": ("aaanaaan", "aannaaan", "aaannaaa"),
    "pin": ("nnnn",),
}
_SCOPE = b"com.lyndir.masterpassword"


@TABLE.add("derivePassword")
def _derive_password(run: Run, counter: int, kind: str, password: str, user: str, site: str) -> str:
    templates = _TEMPLATES.get(kind)
    if templates is None:
        return f"cannot find password template {kind}"
    run.spend(400_000)  # the key takes a tenth of a second, by intent
    salt = _SCOPE + len(user).to_bytes(4, "big") + user.encode()
    key = hashlib.scrypt(password.encode(), salt=salt, n=32768, r=8, p=2, dklen=64, maxmem=1 << 27)
    message = _SCOPE + len(site).to_bytes(4, "big") + site.encode() + (counter & 0xFFFF_FFFF).to_bytes(4, "big")
    seed = hmac.new(key, message, hashlib.sha256).digest()
    template = templates[seed[0] % len(templates)]
    return "".join(_CLASSES[mark][byte % len(_CLASSES[mark])] for mark, byte in zip(template, seed[1:], strict=False))


# --- what is refused by name

_REFUSED = {
    "env": "an expression may not read the environment",
    "expandenv": "an expression may not read the environment",
    "getHostByName": "an expression may not ask the network",
    **dict.fromkeys(
        (
            "genPrivateKey",
            "genCA",
            "genCAWithKey",
            "genSelfSignedCert",
            "genSelfSignedCertWithKey",
            "genSignedCert",
            "genSignedCertWithKey",
            "buildCustomCert",
        ),
        "a key made by an expression would be stored in plain text; make it in a step, or give it as a Secret",
    ),
    **dict.fromkeys(
        ("bcrypt", "htpasswd", "encryptAES", "decryptAES"),
        "a password handled by an expression would be stored in plain text; do it in a step",
    ),
}


def _refusal(name: str, reason: str) -> None:
    @TABLE.add(name)
    def refuse(*_arguments: object) -> object:
        raise Fault(f"sprig.{name} is not supported by Tiphys: {reason}")


for _name, _reason in _REFUSED.items():
    _refusal(_name, _reason)
