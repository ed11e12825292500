"""What everyone is told: one JSON object, the same for webhooks, topics, queues, functions and commands."""

import json
from datetime import UTC

from tiphys.spec.notices import Notice

EVENT = "workflow.phase"
LONGEST_MESSAGE = 16_000
"""Characters of a workflow's message that are sent; SNS, SQS and Lambda take 256 KiB in all, and JSON may need 12 for one."""


def payload(notice: Notice) -> dict[str, object]:
    """What is told of `notice`.

    The fields, all of them always there:

    - `id`: text; a notification that is sent again has the same one, so a receiver can tell a repetition
    - `type`: `workflow.phase`
    - `uid`, `name`, `namespace`: the workflow
    - `phase`: Pending, Running, Succeeded, Failed or Error
    - `message`: the workflow's message, or ""; cut after 16,000 characters
    - `labels`: the workflow's labels, a map of texts
    - `at`: when the workflow came into the phase, RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`

    Receivers must bear further fields: later versions may add some.
    """
    message = notice.message
    return {
        "id": notice.id,
        "type": EVENT,
        "uid": notice.uid,
        "name": notice.name,
        "namespace": notice.namespace,
        "phase": notice.phase,
        "message": message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…",
        "labels": dict(notice.labels),
        "at": notice.at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
    }


def encoded(notice: Notice) -> bytes:
    """The payload's JSON, on one line and in ASCII: SQS refuses some letters of Unicode, and a message may hold broken ones."""
    return json.dumps(payload(notice), separators=(",", ":")).encode()
