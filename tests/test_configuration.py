import itertools
import re
import typing
from pathlib import Path

import msgspec
import pytest
import yaml

from tiphys import configuration
from tiphys.errors import InvalidSettings
from tiphys.settings import ImageEntry, S3Repository, Settings


def named(struct: type, prefix: str = "") -> set[str]:
    """The dotted names of all settings under `struct`."""
    names = set()
    for name, hint in typing.get_type_hints(struct).items():
        inner = next((part for part in (hint, *typing.get_args(hint)) if isinstance(part, type) and issubclass(part, msgspec.Struct)), None)
        if inner is None or typing.get_origin(hint) is dict:
            names.add(prefix + name)
        else:
            names |= named(inner, f"{prefix}{name}.")
    return names


def keys(value: object, prefix: str = "") -> set[str]:
    if not isinstance(value, dict) or not value:
        return {prefix.removesuffix(".")}
    return set().union(*(keys(inner, f"{prefix}{key}.") for key, inner in value.items()))


@pytest.fixture
def shipped(project: Path) -> str:
    return (project / "config" / "tiphys.yaml").read_text()


def uncommented(text: str) -> str:
    """The shipped file with its commented S3 block switched on."""
    block = re.sub(r"(?m)^  # (?=(s3:|  ))", "  ", text)
    return block.replace("\n  s3: null\n", "\n")


def test_the_shipped_file_says_the_defaults(shipped: str) -> None:
    assert configuration.read(shipped.encode(), "tiphys.yaml") == Settings()


def test_the_shipped_file_names_every_setting(shipped: str) -> None:
    assert keys(yaml.safe_load(uncommented(shipped))) == named(Settings)


def test_the_commented_repository_says_the_defaults_too(shipped: str) -> None:
    assert configuration.read(uncommented(shipped).encode(), "f").artifacts.s3 == S3Repository()


def test_every_setting_has_a_comment(shipped: str) -> None:
    """Each key is under a comment, or follows keys that share one (the credentials of S3, bucket and region)."""
    lines = uncommented(shipped).splitlines()
    bare = [line for before, line in itertools.pairwise(lines) if re.match(r" *[a-z0-9_]+:", line) and not before.strip()]
    assert bare == []


def test_settings_are_read() -> None:
    text = b"""
namespace: prod
images:
  "busybox": {entrypoint: [], cmd: [sh]}
  curl: {entrypoint: [curl, -s]}
process: {isolation: none, writable: [/data, /srv], env: {A: "1", B: 2}, grace_seconds: 5}
http:
artifacts:
  s3: {bucket: b, access_key_secret: {name: cred, key: access}, insecure: yes}
"""
    settings = configuration.read(text, "f")
    assert settings.namespace == "prod"
    assert settings.images == {"busybox": ImageEntry(cmd=("sh",)), "curl": ImageEntry(entrypoint=("curl", "-s"))}
    assert settings.process.writable == ("/data", "/srv")
    assert settings.process.env == {"A": "1", "B": "2"}
    assert settings.process.grace_seconds == 5.0
    assert settings.artifacts.s3 == S3Repository(bucket="b", access_key_secret=("cred", "access"), insecure=True)
    assert settings.http == Settings().http


def test_an_empty_file_is_the_defaults() -> None:
    assert configuration.read(b"# nothing\n", "f") == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("proces: {}", 'f:1:1: unknown setting "proces"; did you mean "process"?'),
        ("process:\n  writeable: [a]", 'f:2:3: unknown setting "process.writeable"; did you mean "writable"?'),
        ("process:\n  zzz: 1", 'f:2:3: unknown setting "process.zzz"; known here: isolation,'),
        ("images:\n  a: {entrypont: [x]}", 'f:2:7: unknown setting "images["a"].entrypont"; did you mean "entrypoint"?'),
        ("process: [1]", "f:1:10: process must be a map of settings, not a list"),
        ("process: {parallelism: many}", "f:1:24: process.parallelism must be a whole number, not text (many)"),
        ("process: {parallelism: 1.5}", "f:1:24: process.parallelism must be a whole number, not a number (1.5)"),
        ("process: {parallelism: -1}", "f:1:24: process.parallelism must not be negative or endless, not -1"),
        ("process: {parallelism: 0x10}", "f:1:24: process.parallelism must be a plain decimal number, not 0x10"),
        ("process: {grace_seconds: .inf}", "f:1:26: process.grace_seconds must"),
        ("process: {isolation: strong}", 'f:1:22: process.isolation must be one of auto, full, none, not "strong"'),
        ("journal: {synchronous: off}", 'f:1:24: journal.synchronous must be one of "", full, normal, not "off"'),
        ("http: {transient_statuses: 1}", "f:1:28: http.transient_statuses must be true or false, not a whole number (1)"),
        ("namespace: [a]", "f:1:12: namespace must be text, not a list"),
        ("transient_pattern: (a", 'f:1:20: transient_pattern must be a regular expression, not "(a": missing )'),
        ("namespace: Bad NS", "f:1:12: namespace must be a name that a namespace can have"),
        (f"namespace: {'n' * 64}", "f:1:12: namespace must be a name that a namespace can have (at most 63 of"),
        ("process: {writable: /data}", "f:1:21: process.writable must be a list, not text (/data)"),
        ("namespace: a\nnamespace: b", "f:2:1: namespace is set twice"),
        ("artifacts: {s3: {access_key_secret: {name: x}}}", "f:1:37: artifacts.s3.access_key_secret must name a Secret and a key in it"),
        ("? [a]\n: b", "f:1:3: a setting's name must be text"),
        ("- a", "f:1:1: the settings must be a map of settings, not a list"),
        ("a: [", "f:2:1: "),
        ("a: b\n---\nc: d", "f:2:1: "),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        configuration.read(text.encode(), "f")
    assert str(raised.value).startswith(said)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as raised:
        configuration.read(b"a: 1\nprocess: {b: 1, parallelism: x}\n", "f")
    assert len(str(raised.value).splitlines()) == 3


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, variable, user, system = (tmp_path / part / "tiphys.yaml" for part in ("named", "variable", "xdg/tiphys", "etc"))
    for path in (named, variable, user, system):
        path.parent.mkdir(parents=True)
        path.write_text("")
    monkeypatch.setattr(configuration, "SYSTEM_FILE", system)
    environ = {"TIPHYS_CONFIG": str(variable), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert configuration.find(named, environ, tmp_path) == named
    assert configuration.find(None, environ, tmp_path) == variable
    del environ["TIPHYS_CONFIG"]
    assert configuration.find(None, environ, tmp_path) == user
    assert configuration.find(None, {"XDG_CONFIG_HOME": "relative"}, tmp_path) == system
    system.unlink()
    assert configuration.find(None, {}, tmp_path) is None
    assert configuration.load(None, {}, tmp_path).settings == Settings()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_named_file_must_exist(tmp_path: Path, how: str) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(InvalidSettings, match="no such settings file"):
        configuration.load(missing if how == "option" else None, {"TIPHYS_CONFIG": str(missing)}, tmp_path)


@pytest.mark.parametrize("how", ["option", "variable", "home"])
def test_a_place_that_cannot_be_looked_into_is_told(tmp_path: Path, how: str) -> None:
    place = tmp_path / ("n" * 300)  # as a closed folder, but for root too
    environ = {"variable": {"TIPHYS_CONFIG": str(place)}, "home": {"XDG_CONFIG_HOME": str(place)}, "option": {}}[how]
    with pytest.raises(InvalidSettings, match="cannot be read: File name too long"):
        configuration.load(place if how == "option" else None, environ, tmp_path)


def test_state_is_kept_where_the_design_says() -> None:
    home = Path("/home/u")
    plain = Settings()
    assert configuration.state_directory(Settings(state_directory="/x"), {"STATE_DIRECTORY": "/y"}, home, root=True) == Path("/x")
    assert configuration.state_directory(plain, {"STATE_DIRECTORY": "/y:/z"}, home, root=True) == Path("/y")
    assert configuration.state_directory(plain, {}, home, root=True) == Path("/var/lib/tiphys")
    assert configuration.state_directory(plain, {"XDG_STATE_HOME": "/s"}, home, root=False) == Path("/s/tiphys")
    assert configuration.state_directory(plain, {}, home, root=False) == home / ".local/state/tiphys"


def test_secrets_are_beside_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "tiphys.yaml"
    file.write_text("")
    loaded = configuration.load(file, {}, tmp_path)
    assert configuration.secrets_directory(loaded) == tmp_path / "secrets"
    assert configuration.secrets_directory(configuration.Configuration(settings=Settings(), file=None)) is None
