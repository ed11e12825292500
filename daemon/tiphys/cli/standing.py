"""`tiphys cron`, `tiphys template`, `tiphys cluster-template`: the definitions in force."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tiphys.cli import listing, output, showing, times
from tiphys.cli.client import quoted
from tiphys.cli.exits import Exit
from tiphys.cli.remote import EVERYWHERE, Remote, decoded

CRONS, TEMPLATES, CLUSTER_TEMPLATES = "cron-workflows", "workflow-templates", "cluster-workflow-templates"


def listed(remote: Remote, kind: str, *, everywhere: bool, selector: str, form: str) -> Exit:
    """Print a list of definitions."""
    found = remote.client.value(path(remote, kind, everywhere=everywhere), {"listOptions.labelSelector": selector} if selector else None)
    items = found.get("items") or []
    if form in {"json", "yaml"}:
        _print(remote, items, form)
    elif form == "name":
        remote.print(*(item["metadata"]["name"] for item in items))
    elif not items:
        remote.print(f"No {kind.replace('-', ' ')} found")
    else:
        rows = [_cron_row(item, remote.now) if kind == CRONS else [item["metadata"]["name"]] for item in items]
        names = ["NAME", "AGE", "LAST RUN", "NEXT RUN", "SCHEDULES", "TIMEZONE", "SUSPENDED"] if kind == CRONS else ["NAME"]
        if everywhere:
            names = ["NAMESPACE", *names]
            rows = [[item["metadata"].get("namespace", ""), *row] for item, row in zip(items, rows, strict=True)]
        remote.print(*listing.columns([names, *rows]))
    return Exit.SUCCEEDED


def got(remote: Remote, kind: str, names: Sequence[str], form: str) -> Exit:
    """Print definitions."""
    show(remote, kind, [remote.client.value(path(remote, kind, name)) for name in names], form)
    return Exit.SUCCEEDED


def show(remote: Remote, kind: str, found: Sequence[Mapping[str, Any]], form: str) -> None:
    """Definitions on standard output, as `-o` asks for them."""
    if form in {"json", "yaml"}:
        _print(remote, found[0] if len(found) == 1 else found, form)
    elif form == "name":
        remote.print(*(item["metadata"]["name"] for item in found))
    else:
        for item in found:
            remote.print(*(_cron_lines(item, remote.now) if kind == CRONS else _template_lines(item, remote.now)))


def run(remote: Remote, name: str, form: str) -> Exit:
    """Start a workflow of a cron workflow now."""
    made = decoded(remote.client.post(path(remote, CRONS, name, "run"), b"{}"))
    showing.show(remote, [made], form)
    return Exit.SUCCEEDED


def path(remote: Remote, kind: str, *names: str, everywhere: bool = False, namespace: str = "") -> str:
    """Where definitions are asked for."""
    if kind == CLUSTER_TEMPLATES:
        return quoted(kind, *names)
    return remote.path(*names, kind=kind, namespace=EVERYWHERE if everywhere else namespace)


def _print(remote: Remote, value: Any, form: str) -> None:
    if form == "json":
        remote.print(msgspec.json.format(msgspec.json.encode(value), indent=output.INDENT).decode())
    else:
        remote.print(output.yaml_text(value))


def _cron_row(item: Mapping[str, Any], now: datetime) -> list[str]:
    meta, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    return [
        meta["name"],
        times.short(times.seconds(meta.get("creationTimestamp"), None, now)),
        times.short(times.seconds(status.get("lastScheduledTime"), None, now)) or "N/A",
        _until(status.get("nextScheduledTime"), now),
        ",".join(_schedules(spec)),
        spec.get("timezone", ""),
        _word(bool(spec.get("suspend"))),
    ]


def _until(text: str | None, now: datetime) -> str:
    at = times.parse(text)
    return "N/A" if at is None else times.short(max(0.0, (at - now).total_seconds()))


def _schedules(spec: Mapping[str, Any]) -> list[str]:
    return [*spec.get("schedules", []), *([spec["schedule"]] if spec.get("schedule") else [])]


def _word(value: bool) -> str:
    return "true" if value else "false"


def _cron_lines(item: Mapping[str, Any], now: datetime) -> list[str]:
    """Argo's block of a cron workflow."""
    meta, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    pairs = [("Name:", meta["name"]), ("Namespace:", meta.get("namespace", "")), ("Created:", times.stamp(meta["creationTimestamp"], now))]
    pairs += [("Schedules:", ",".join(_schedules(spec))), ("Suspended:", _word(bool(spec.get("suspend"))))]
    if spec.get("timezone"):
        pairs.append(("Timezone:", spec["timezone"]))
    if spec.get("startingDeadlineSeconds") is not None:
        pairs.append(("StartingDeadlineSeconds:", str(spec["startingDeadlineSeconds"])))
    if spec.get("concurrencyPolicy"):
        pairs.append(("ConcurrencyPolicy:", spec["concurrencyPolicy"]))
    if spec.get("stopStrategy"):
        pairs.append(("StopStrategy:", spec["stopStrategy"].get("expression", "")))
    if spec.get("when"):
        pairs.append(("When:", spec["when"]))
    if status.get("phase") == "Stopped":
        pairs.append(("Phase:", "Stopped"))
    for name, key in (("LastScheduledTime:", "lastScheduledTime"), ("NextScheduledTime:", "nextScheduledTime")):
        if status.get(key):
            pairs.append((name, times.stamp(status[key], now)))
    if status.get("active"):
        pairs.append(("Active Workflows:", ", ".join(one["name"] for one in status["active"])))
    if status.get("conditions"):
        pairs.append(("Conditions:", ""))
        pairs += [(f"✖ {one['type']}", one["message"]) for one in status["conditions"]]
    return [f"{name:<30} {value}".rstrip() for name, value in pairs]


def _template_lines(item: Mapping[str, Any], now: datetime) -> list[str]:
    meta = item["metadata"]
    pairs = [("Name:", meta["name"]), ("Namespace:", meta.get("namespace", "")), ("Created:", times.stamp(meta["creationTimestamp"], now))]
    return [f"{name:<20} {value}".rstrip() for name, value in pairs if value]
