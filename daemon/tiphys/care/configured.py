"""Settings that are valid by themselves, and yet will not do here: a user, a zone, a directory that there is not."""

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from tiphys import configuration
from tiphys.care.finding import Found, error, ok, warning
from tiphys.care.owner import Owner
from tiphys.configuration import Configuration
from tiphys.errors import InvalidSettings
from tiphys.executors.process import isolation
from tiphys.manifests import defaults
from tiphys.notices import checking
from tiphys.service import sockets
from tiphys.settings import Settings

LOCALTIME = Path("/etc/localtime")
SAMPLE_ZONE = "Europe/Berlin"
CORRECT = "correct it in the settings file"


def check(loaded: Configuration, socket: Path, whose: Owner) -> list[Found]:
    """What is wrong with the settings; all is well where nothing is."""
    settings = loaded.settings
    found = [
        *_values(settings),
        *_drop(settings),
        *_group(settings),
        *_defaults(settings),
        *_user(settings, whose),
        *_socket(socket),
        *_secrets(loaded, whose),
    ]
    origin = str(loaded.file) if loaded.file else "there is no settings file, so all are the defaults"
    return found or [ok(f"settings: {origin}")]


def _values(settings: Settings) -> Iterator[Found]:
    for line in checking.findings(settings.notifications):
        yield error(f"setting {line}", CORRECT)
    if settings.executor not in {"process", "scripted"}:
        yield error(f"setting executor: there is no executor {settings.executor!r}", f"{CORRECT}: there are process and scripted")
    elif settings.executor == "scripted":
        yield warning("setting executor: scripted runs nothing, every step is taken to succeed", "set it to process, unless you rehearse")
    for name, limit in settings.semaphores.items():
        if limit < 1:
            yield warning(f"setting semaphores.{name}: with the limit {limit} whoever wants it waits for ever", f"{CORRECT}: 1 or more")
    if settings.drop.sweep_seconds <= 0:
        yield error(f"setting drop.sweep_seconds: must be more than 0, not {settings.drop.sweep_seconds}", CORRECT)


def _drop(settings: Settings) -> Iterator[Found]:
    for name in settings.drop.owners:
        if not _is_user(name):
            yield warning(
                f"setting drop.owners: there is no user {name!r}, so no file is taken from them",
                "make the user (`useradd`), or take the name out of the setting",
            )


def _group(settings: Settings) -> Iterator[Found]:
    name = settings.daemon.socket_group
    if sockets.lacks_group(name):
        yield warning(
            f"setting daemon.socket_group: there is no group {name!r}, so only the daemon's own user may use its socket",
            "make the group (`groupadd`), or name another",
        )


def _is_user(name: str) -> bool:
    try:
        return bool(pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name))
    except (KeyError, OverflowError):
        return name.isdecimal()  # files may belong to a number without a name


def _defaults(settings: Settings) -> Iterator[Found]:
    try:
        defaults.read(settings.workflow_defaults, settings.limits)
    except InvalidSettings as mistake:
        for line in str(mistake).splitlines():
            yield error(line, CORRECT)


def _user(settings: Settings, whose: Owner) -> Iterator[Found]:
    wanted = settings.process.user
    if not wanted:
        return
    if whose.uid != 0 and wanted not in {whose.name, str(whose.uid)}:
        yield error(
            f"setting process.user: only a daemon that runs as root may run steps as {wanted!r}, and this one runs as {whose.name}",
            "take the setting out, or run daemon and launcher as root (systemd/README.md, as-root)",
        )
    elif os.geteuid() == whose.uid:
        try:
            isolation.user_named(wanted)
        except InvalidSettings as mistake:
            yield error(f"setting {mistake}", "make the user (`useradd`), or name another")


def _socket(socket: Path) -> Iterator[Found]:
    if len(os.fsencode(socket)) > sockets.LONGEST_PATH:
        yield error(f"{socket} is too long for a socket (at most {sockets.LONGEST_PATH} bytes)", "set daemon.socket to a shorter path")


def _secrets(loaded: Configuration, whose: Owner) -> Iterator[Found]:
    folder = configuration.secrets_directory(loaded)
    if folder is None:
        return
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        if loaded.settings.secrets_directory:
            yield error(f"setting secrets_directory: {folder} is not there", f"`mkdir -m 700 {folder}`, or correct the setting")
        return
    except OSError as reason:
        yield error(f"the secrets in {folder} cannot be read ({reason.strerror})", f"let {whose.name} read it")
        return
    if mode & stat.S_IROTH or mode & stat.S_IWOTH:
        yield warning(f"everybody on this machine can look into the secrets in {folder}", f"`chmod o-rwx {folder}`")
    if not whose.may(os.R_OK, folder):
        yield error(f"{whose.name} may not read the secrets in {folder}", f"`chgrp {whose.name} {folder}; chmod g+rx {folder}`")


def zones(settings: Settings, environ: Mapping[str, str]) -> list[Found]:
    """Time zones: the one that is set, the machine's, and whether there are any."""
    found = []
    if not _is_zone(SAMPLE_ZONE):
        found.append(
            error(
                "there is no time zone data, so a cron workflow with a time zone cannot run",
                "install it: `apt install tzdata`, or `pip install tzdata` into this program's environment",
            )
        )
    elif (zone := settings.daemon.timezone) and zone != "Local" and not _is_zone(zone):
        found.append(error(f"setting daemon.timezone: there is no time zone {zone!r}", f"{CORRECT}: a name as {SAMPLE_ZONE}"))
    if not settings.daemon.timezone:
        text = environ.get("TZ")
        if text and not text.removeprefix(":").startswith("/") and not _is_zone(text.removeprefix(":")):
            found.append(warning(f"TZ names no time zone: {text!r}; cron goes by UTC", "set daemon.timezone, or TZ to a zone's name"))
        elif text is None and not LOCALTIME.exists():
            found.append(warning(f"{LOCALTIME} is not there; cron goes by UTC", "`timedatectl set-timezone ZONE`, or set daemon.timezone"))
    chosen = settings.daemon.timezone or "the machine's own"
    return found or [ok(f"time zones: {chosen} for cron workflows that name none")]


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        return False
    return True
