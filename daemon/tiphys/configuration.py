"""Reads the settings file into `settings.Settings`, strictly: whatever it does not know is an error with its place and a hint.

Where the file is, and where state is kept, is decided here too (design section 5); the process's variables come in as a value.
"""

import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from tiphys.errors import InvalidSettings
from tiphys.settings import Settings

SYSTEM_FILE = Path("/etc/tiphys/tiphys.yaml")
SYSTEM_STATE = Path("/var/lib/tiphys")
CHOICES = {
    "process.isolation": ("auto", "full", "none"),
    "journal.synchronous": ("", "full", "normal"),
    "artifacts.s3.addressing_style": ("", "auto", "path", "virtual"),
    "daemon.log_level": ("debug", "info", "warning", "error"),
    "daemon.log_format": ("", "json", "console"),
}
"""Settings that are one of a few words."""

NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

YAML_KINDS = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:int": "a whole number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:bool": "true or false",
    "tag:yaml.org,2002:null": "nothing",
}


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, and the file they came from (None: no file, all defaults)."""

    settings: Settings
    file: Path | None


def find(explicit: Path | None, environ: Mapping[str, str], home: Path) -> Path | None:
    """The settings file: `--config`, else `TIPHYS_CONFIG`, else the user's, else the system's; None where there is none.

    A file that was named but does not exist is an error (InvalidSettings); the last two may be absent.
    """
    named = explicit or (Path(environ["TIPHYS_CONFIG"]) if environ.get("TIPHYS_CONFIG") else None)
    if named is not None:
        if not _is_file(named):
            origin = "--config" if explicit else "TIPHYS_CONFIG"
            raise InvalidSettings(f"{named}: there is no such settings file ({origin} names it)")
        return named
    user = _xdg(environ, "XDG_CONFIG_HOME", home / ".config") / "tiphys" / "tiphys.yaml"
    return next((path for path in (user, SYSTEM_FILE) if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # a folder above it that is closed
        raise InvalidSettings(f"{path}: cannot be read: {error.strerror}") from error


def load(explicit: Path | None, environ: Mapping[str, str], home: Path) -> Configuration:
    """The settings that are in force; raises InvalidSettings with every mistake of the file."""
    path = find(explicit, environ, home)
    if path is None:
        return Configuration(settings=Settings(), file=None)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"{path}: cannot be read: {error.strerror}") from error
    return Configuration(settings=read(data, str(path)), file=path)


def state_directory(settings: Settings, environ: Mapping[str, str], home: Path, *, root: bool) -> Path:
    """Where state is kept: the setting, else `$STATE_DIRECTORY` (systemd's; its first), else root's or the user's own place."""
    if settings.state_directory:
        return Path(settings.state_directory).expanduser()
    if environ.get("STATE_DIRECTORY"):
        return Path(environ["STATE_DIRECTORY"].split(":", 1)[0])
    return SYSTEM_STATE if root else _xdg(environ, "XDG_STATE_HOME", home / ".local" / "state") / "tiphys"


def secrets_directory(configuration: Configuration) -> Path | None:
    """Where `<name>/<key>` files of Secrets are: the setting, else `secrets/` beside the settings file; None without either."""
    if configuration.settings.secrets_directory:
        return Path(configuration.settings.secrets_directory).expanduser()
    return configuration.file.resolve().parent / "secrets" if configuration.file else None


def _xdg(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    """A base directory; the XDG rules ignore a relative one."""
    value = environ.get(variable, "")
    return Path(value) if value.startswith("/") else default


def read(data: bytes, file: str) -> Settings:
    """The settings that the YAML text `data` gives; raises InvalidSettings that lists every mistake as `file:line:column: …`."""
    try:
        loader = yaml.CSafeLoader(data)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise InvalidSettings(f"{place}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise InvalidSettings(f"{file}: {error}") from error
    except RecursionError as error:
        raise InvalidSettings(f"{file}: nested too deeply") from error
    reader = _Reader(file)
    settings = Settings() if node is None else reader.value(node, Settings, "")
    if reader.problems:
        raise InvalidSettings("\n".join(reader.problems))
    return typing.cast("Settings", settings)


class _Reader:
    """Turns YAML nodes into values of a wanted type and remembers every problem."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[str] = []

    def problem(self, node: yaml.Node, text: str) -> None:
        mark = node.start_mark
        self.problems.append(f"{self.file}:{mark.line + 1}:{mark.column + 1}: {text}")

    def value(self, node: yaml.Node, wanted: object, path: str) -> object:
        """The value of `node` as the type `wanted`; None, with a problem noted, where it is not one."""
        if wanted is object:  # somebody else knows what it must be
            return yaml.constructor.SafeConstructor().construct_document(node)
        if isinstance(wanted, types.UnionType):  # T | None
            if node.tag == "tag:yaml.org,2002:null":
                return None
            wanted = next(option for option in typing.get_args(wanted) if option is not types.NoneType)
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
            return self.struct(node, wanted, path)
        origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
        if origin is dict:
            return self.mapping(node, arguments[1], path)
        if origin is tuple and arguments[-1] is Ellipsis:
            return self.sequence(node, arguments[0], path)
        if origin is tuple:
            return self.key_of_secret(node, path)
        return self.scalar(node, wanted, path)

    def entries(self, node: yaml.Node, path: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """The (key, key node, value node) of a mapping, each key once."""
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, f"{path or 'the settings'} must be a map of settings, not {_shown(node)}")
            return []
        found: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not name:
                self.problem(key, "a setting's name must be text")
            elif name in found:
                self.problem(key, f"{_join(path, name)} is set twice")
            else:
                found[name] = (name, key, value)
        return list(found.values())

    def struct(self, node: yaml.Node, wanted: type, path: str) -> object:
        hints = typing.get_type_hints(wanted)
        given: dict[str, object] = {}
        for name, key, value in self.entries(node, path):
            full = _join(path, name)
            if name not in hints:
                import difflib  # noqa: PLC0415 - only mistakes pay for it

                near = difflib.get_close_matches(name, hints, n=1)
                hint = f'; did you mean "{near[0]}"?' if near else f"; known here: {', '.join(hints)}"
                self.problem(key, f'unknown setting "{full}"{hint}')
            elif value.tag != "tag:yaml.org,2002:null":  # nothing said: the default
                given[name] = self.value(value, hints[name], full)
        return None if self.problems else wanted(**given)

    def mapping(self, node: yaml.Node, wanted: object, path: str) -> dict[str, object]:
        return {name: self.value(value, wanted, f'{path}["{name}"]') for name, _, value in self.entries(node, path)}

    def sequence(self, node: yaml.Node, wanted: object, path: str) -> tuple[object, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self.problem(node, f"{path} must be a list, not {_shown(node)}")
            return ()
        return tuple(self.value(item, wanted, f"{path}[{index}]") for index, item in enumerate(node.value))

    def key_of_secret(self, node: yaml.Node, path: str) -> tuple[str, str] | None:
        """`{name: …, key: …}`: the Secret's name and the key in it."""
        given = {name: self.value(value, str, _join(path, name)) for name, _, value in self.entries(node, path)}
        if set(given) != {"name", "key"}:
            self.problem(node, f"{path} must name a Secret and a key in it: {{name: NAME, key: KEY}}")
            return None
        return str(given["name"]), str(given["key"])

    def scalar(self, node: yaml.Node, wanted: object, path: str) -> object:
        kind = node.tag.rpartition(":")[2] if isinstance(node, yaml.ScalarNode) else ""
        if wanted is str and kind in ("str", "int", "float", "bool", "timestamp"):
            return self.chosen(node, node.value, path)
        if wanted is bool and kind == "bool":
            return node.value.lower() in ("true", "yes", "on", "y")
        if wanted in (int, float) and kind in ("int", "float")[: 2 if wanted is float else 1]:
            return self.number(node, wanted, path)
        expected = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}[typing.cast("type", wanted)]
        self.problem(node, f"{path} must be {expected}, not {_shown(node)}")
        return None

    def chosen(self, node: yaml.Node, text: str, path: str) -> str:
        choices = CHOICES.get(path)
        if choices and text not in choices:
            self.problem(node, f'{path} must be one of {", ".join(choice or chr(34) * 2 for choice in choices)}, not "{text}"')
        if path == "namespace" and NAMESPACE.fullmatch(text) is None:
            rule = "at most 63 of a-z, 0-9 and '-', the first and the last no '-'"
            self.problem(node, f'namespace must be a name that a namespace can have ({rule}), not "{text}"')
        if path == "transient_pattern":
            try:
                re.compile(text)
            except re.error as error:
                self.problem(node, f'transient_pattern must be a regular expression, not "{text}": {error}')
        return text

    def number(self, node: yaml.Node, wanted: object, path: str) -> float | None:
        try:
            number = float(node.value.replace("_", "")) if wanted is float else int(node.value.replace("_", ""))
        except ValueError:  # octal, hexadecimal, sexagesimal: nobody means those here
            self.problem(node, f"{path} must be a plain decimal number, not {node.value}")
            return None
        if not 0 <= number < float("inf"):
            self.problem(node, f"{path} must not be negative or endless, not {node.value}")
        return number


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(node: yaml.Node) -> str:
    """What a node is, in words."""
    if isinstance(node, yaml.ScalarNode):
        kind = YAML_KINDS.get(node.tag, "a value")
        return kind if node.tag.endswith(":null") else f"{kind} ({node.value})"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a map"
