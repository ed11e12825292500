"""What a step's command line and environment are: Kubernetes' rules for command, args, images and `$(NAME)`, Secrets resolved.

The environment made here goes to the launcher and from there into the process, and is written down nowhere.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from tiphys.errors import TiphysError
from tiphys.secrets import SecretMissing, Secrets
from tiphys.settings import ImageEntry
from tiphys.spec.containers import Container, EnvFromSource, EnvVar
from tiphys.spec.work import WorkOrder

LARGEST_STRING = 131_072  # the kernel's MAX_ARG_STRLEN, the closing NUL included
LARGEST_TEMPLATE = 96 * 1024  # of ARGO_TEMPLATE, in characters
SURELY_FITS = LARGEST_STRING // 4 - 2  # characters: UTF-8 has at most four bytes for one
REFERENCE = re.compile(r"\$\$|\$\(([^()$]*)\)")
VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
SUBSCRIPT = re.compile(r"(.+)\['(.+)'\]")
LOADER = ("LD_", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "MALLOC_", "NLSPATH", "RESOLV_HOST_CONF", "GETCONF_DIR")


class CommandError(TiphysError):
    """The step cannot be started as its template says; an Error, not a Failed of the user's making."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A command line and environment, complete."""

    argv: list[str]
    env: dict[str, str]


def plain_image(name: str) -> str:
    """An image's name as `images:` is searched: without Docker Hub's own prefixes."""
    for prefix in ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/", "library/"):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def image_entry(image: str, images: Mapping[str, ImageEntry]) -> ImageEntry | None:
    """What setting `images` says of an image: with its tag, else without tag and digest."""
    known = {plain_image(name): entry for name, entry in images.items()}
    wanted = plain_image(image)
    bare, _, _ = wanted.partition("@")
    head, slash, last = bare.rpartition("/")
    untagged = head + slash + last.partition(":")[0]
    return next((known[name] for name in (wanted, bare, untagged) if name in known), None)


def words(container: Container, images: Mapping[str, ImageEntry]) -> list[str]:
    """Command and arguments as Kubernetes combines them with the image's own. CommandError: there is no command."""
    if container.command:
        return [*container.command, *container.args]
    entry = image_entry(container.image, images)
    if entry is None:
        raise CommandError(
            f"no command: the template gives none, and what image {container.image!r} runs by itself is not known here; give a command,"
            f" or say it in the settings: images: {{{container.image!r}: {{entrypoint: [...], cmd: [...]}}}}"
        )
    found = [*entry.entrypoint, *(container.args or entry.cmd)]
    if not found:
        raise CommandError(f"no command: neither the template nor the setting images: {{{container.image!r}: ...}} gives one")
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` replaced where the variable is known, left as it is where it is not; `$$` is a dollar sign (Kubernetes' rules)."""

    def one(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return variables.get(match.group(1), match.group(0))

    return REFERENCE.sub(one, text) if "$" in text else text


def field_value(path: str, order: WorkOrder, container: Container) -> str:
    """A pod fact (`fieldRef`), as far as there is one without a pod."""
    if (found := SUBSCRIPT.fullmatch(path)) and found[1] == "metadata.labels":
        return order.workflow.labels.get(found[2], "")
    if found and found[1] == "metadata.annotations":
        return ""
    facts: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: order.pod_name,
        "metadata.namespace": lambda: order.workflow.namespace,
        "metadata.uid": lambda: order.workflow.uid,
        "metadata.labels": lambda: "\n".join(f'{key}="{value}"' for key, value in sorted(order.workflow.labels.items())),
        "metadata.annotations": lambda: "",
        "spec.nodeName": lambda: os.uname().nodename,
        "status.hostIP": lambda: "127.0.0.1",
        "status.podIP": lambda: "127.0.0.1",
        "spec.serviceAccountName": lambda: "default",
    }
    if path not in facts:
        raise CommandError(f"container {container.name or 'main'}: fieldRef {path!r} has no answer without a pod")
    return facts[path]()


class Environment:
    """Builds the environments of attempts. `base`: what every step gets before its own variables."""

    __slots__ = ("_progress_file", "_secrets", "base")

    def __init__(self, base: Mapping[str, str], secrets: Secrets, progress_file: str = "") -> None:
        self.base = base
        self._secrets = secrets
        self._progress_file = progress_file

    def at(self, progress_file: str, secrets: Secrets) -> "Environment":
        """The same for an attempt that says how far it is in this file, and that sees these Secrets and ConfigMaps."""
        return Environment(self.base, secrets, progress_file)

    async def line(self, order: WorkOrder, container: Container, argv: Sequence[str]) -> Line:
        """The command line and environment of an attempt. CommandError: a value is missing or too large."""
        own: dict[str, str] = {}
        try:
            for source in container.env_from:
                own |= await self._source(order.workflow.namespace, source)
            for variable in container.env:
                value = await self._variable(order, container, variable, own)
                if value is not None:
                    own[variable.name] = value
        except SecretMissing as error:
            raise CommandError(str(error)) from error
        facts = {
            "ARGO_WORKFLOW_NAME": order.workflow.name,
            "ARGO_WORKFLOW_UID": order.workflow.uid,
            "ARGO_NODE_ID": order.node_id,
            "ARGO_POD_NAME": order.pod_name,
            "ARGO_CONTAINER_NAME": container.name or "main",
            "ARGO_INCLUDE_SCRIPT_OUTPUT": "true" if order.wanted.result else "false",
            "ARGO_PROGRESS_FILE": self._progress_file,
            "TIPHYS_IDEMPOTENCY_KEY": order.idempotency_key or order.node_id,
        }
        if order.deadline is not None:
            facts["ARGO_DEADLINE"] = order.deadline.strftime("%Y-%m-%dT%H:%M:%SZ")
        template = msgspec.json.encode(order.template).decode()
        if len(template) < LARGEST_TEMPLATE:
            facts["ARGO_TEMPLATE"] = template
        expanded = [expand(word, own) for word in argv]
        env = {**self.base, **facts, **own, "TIPHYS_ATTEMPT": order.id}
        check_sizes(argv, expanded, env)
        return Line(argv=expanded, env=env)

    async def _source(self, namespace: str, source: EnvFromSource) -> dict[str, str]:
        found: dict[str, str] = {}
        for kind, named, get in (
            ("ConfigMap", source.config_map_ref, self._secrets.config_map_keys),
            ("Secret", source.secret_ref, self._secrets.secret_keys),
        ):
            if named is None:
                continue
            values = await get(namespace, named.name)
            if values is None and not named.optional:
                raise self._secrets.missing(kind, namespace, named.name)
            found |= {source.prefix + key: value for key, value in (values or {}).items() if VARIABLE.fullmatch(source.prefix + key)}
        return found

    async def _variable(self, order: WorkOrder, container: Container, variable: EnvVar, known: Mapping[str, str]) -> str | None:
        source = variable.value_from
        if source is None:
            return expand(variable.value, known)
        namespace = order.workflow.namespace
        if source.secret_key_ref:
            return await self._secrets.need_secret(namespace, source.secret_key_ref)
        if source.config_map_key_ref:
            return await self._secrets.need_config_map(namespace, source.config_map_key_ref)
        if isinstance(source.field_ref, dict):
            return field_value(str(source.field_ref.get("fieldPath", "")), order, container)
        raise CommandError(f"environment variable {variable.name}: this kind of valueFrom has no answer without a pod")


def check_sizes(written: Sequence[str], argv: Sequence[str], env: Mapping[str, str]) -> None:
    """CommandError for a single text that the kernel refuses. Of the values only `written`, the arguments of the manifest, is shown."""
    whole = "".join((*argv, *env, *env.values()))
    if len(whole) < SURELY_FITS and whole.isascii() and "\0" not in whole:
        return
    for index, word in enumerate(argv):
        if not word.isascii() and not is_text(word):
            raise CommandError(f"argument {index} of the command holds bytes that are not UTF-8; hand them over in the environment")
        if len(word) < SURELY_FITS and "\0" not in word:
            continue
        begin = written[index][:40].replace("\n", " ")
        _check(word, len(os.fsencode(word)) + 1, f"argument {index} of the command ({begin!r}…)" if index else "the command")
    for name, value in env.items():
        if len(name) + len(value) < SURELY_FITS and "\0" not in value:
            continue
        _check(value, len(name) + len(os.fsencode(value)) + 2, f"environment variable {name}")


def _check(text: str, size: int, what: str) -> None:
    if size > LARGEST_STRING:
        raise CommandError(
            f"{what} is {size} bytes; Linux lets no program have more than {LARGEST_STRING} in one piece. Hand a large value over as a raw"
            " artifact (inputs: {artifacts: [{name: x, path: /tmp/x, raw: {data: ...}}]}), in the script's source or as an HTTP body"
        )
    if "\0" in text:
        raise CommandError(f"{what} holds a NUL byte, which no command line or environment can")


def is_text(value: str) -> bool:
    """Whether a value is UTF-8; a Secret's may be any bytes, as surrogate escapes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def endangers_loader(name: str) -> bool:
    """Whether a variable would change how bwrap itself, which runs outside of the step's view, is loaded."""
    return name.startswith(LOADER)


def find_program(name: str, path: str, working_directory: str) -> str | None:
    """The host file of a command, as a shell would find it; None: there is none, or it cannot be run."""
    if "/" in name:
        places = [os.path.join(working_directory, name)]
    else:
        places = [f"{folder or working_directory}/{name}" for folder in path.split(":")]
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)), None)
