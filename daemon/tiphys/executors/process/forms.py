"""What many requests to the launcher have in common is sent to it once; a request then names that form and brings what is its own."""

from typing import Any

Json = dict[str, Any]


class Form:
    """Fields that requests have in common, in the words of the launcher's own `forms`. It is known by itself, not by what is in it."""

    __slots__ = ("fields", "needs")

    def __init__(self, fields: Json) -> None:
        self.fields = fields
        self.needs = 2 if "place" in fields else 1
        """Which forms a launcher must understand to take this one (its `hello` says so)."""

    def whole(self, own: Json, scratch: str) -> Json:
        """A request as it is without a form, for a launcher of before there were any. `own`: what is its own of it."""
        fields = self.fields
        made = {**fields, **own, "env": {**fields["env"], **own["env"]}}
        if "home" in fields:
            made["home"] = [f"{scratch}/{own['key']}.home", *fields["home"]]
        if "progress" in fields:
            made["progress"] = f"{scratch}/{own['key']}.progress"
        if place := made.pop("place", None):
            key = own["key"]
            state = f"{place['states']}/{key}.state"
            made |= {"state": state, "trees": [state], "prepare": [("dir", state, 0o700, -1, -1), *made["prepare"]]}
            made["overlay"] = {**made["overlay"], "keep": f"{place['keep']}/{key[len(made['group']) + 1 :]}"}
            made["view"] = [*made["view"], *made.pop("binds", ()), "--bind", state, place["state"]]
        return made
