"""One notification: somebody is to be told that a workflow changed its phase.

Scheduler and engine keep it in the outbox, `notices` sends it; it is data and knows neither.
"""

from datetime import datetime

import msgspec


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be told, to whom, and how far that has come.

    `id` stays the same however often the notification is sent: it is what a receiver knows a repetition by. `target` is the name
    of an entry in the setting `notifications`; `uid`, `name`, `namespace` and `labels` are the workflow's. `at` is when the
    workflow came into `phase`. `attempts`, `due_at` and `last_error` tell of the tries so far. All times are aware and in UTC.
    """

    id: str
    target: str
    uid: str
    name: str
    namespace: str
    phase: str
    message: str = ""
    labels: dict[str, str] = {}
    at: datetime
    created_at: datetime
    attempts: int = 0
    due_at: datetime | None = None
    last_error: str = ""
