"""What many requests to the launcher have in common is sent to it once; a request then names that form and brings what is its own."""

from typing import Any

Json = dict[str, Any]


class Form:
    """Fields that requests have in common, in the words of the launcher's own `forms`. It is known by itself, not by what is in it."""

    __slots__ = ("fields",)

    def __init__(self, fields: Json) -> None:
        self.fields = fields

    def whole(self, own: Json, scratch: str) -> Json:
        """A request as it is without a form, for a launcher of before there were any. `own`: what is its own of it."""
        fields = self.fields
        made = {**fields, **own, "env": {**fields["env"], **own["env"]}}
        if "home" in fields:
            made["home"] = [f"{scratch}/{own['key']}.home", *fields["home"]]
        if "progress" in fields:
            made["progress"] = f"{scratch}/{own['key']}.progress"
        return made
