"""What many requests have in common is sent once: a form. A request then names it and brings what is its own.

A form belongs to the connection it came on. Its `fields` are a request's, its environment a part of each step's; `"home"` without a
path and `"progress": true` stand for the places in the scratch folder that have the step's own key. `"place"` says where an isolated
step's own things are: `states`, the folder of its state folder, which it sees at `state`; `keep`, the folder of what it writes elsewhere.
"""

from typing import Any

from tiphys.launching.journals import quote, to_json
from tiphys.launching.spawning import arguments, encoded, env_texts

KEPT = (
    *("id", "key", "group", "isolated", "split", "log_limit", "deadline", "grace"),
    *("tidy", "delete", "trees", "state", "overlay", "progress", "home"),
)
"""What of a request another launcher needs; never its environment or arguments, which may hold secrets."""
OWN_KEPT = frozenset(KEPT) - {"id", "key"}
Json = dict[str, Any]


class Form:
    """What requests have in common."""

    __slots__ = ("argv", "env", "fields", "home", "kept", "place", "progress", "texts")

    def __init__(self, fields: Json) -> None:
        self.env: dict[str, str] = fields.pop("env", {})
        self.home: list[Any] = fields.pop("home", [])
        self.progress: bool = fields.pop("progress", False)
        self.place: dict[str, str] = fields.pop("place", {})
        self.fields = fields
        self.texts = env_texts(self.env)
        self.argv = arguments(encoded(fields["argv"])) if "argv" in fields else None
        kept = skeleton(fields)
        self.kept = f"{kept}," if kept else ""

    def filled(self, own: Json, scratch: str) -> Json:
        """The whole request."""
        whole = {**self.fields, **own, "env": {**self.env, **own["env"]}}
        if self.home:
            whole["home"] = [f"{scratch}/{own['key']}.home", *self.home]
        if self.progress:
            whole["progress"] = f"{scratch}/{own['key']}.progress"
        if self.place:
            state, keep = self.own_places(own["key"])
            whole |= {"state": state, "trees": [state], "overlay": {**whole["overlay"], "keep": keep}}
            whole["binds"] = [*own.get("binds", ()), "--bind", state, self.place["state"]]
        return whole

    def own_places(self, key: str) -> tuple[str, str]:
        """The state folder of an isolated step, and where what it writes elsewhere is kept: its key begins with its run's name."""
        return f"{self.place['states']}/{key}.state", f"{self.place['keep']}/{key[len(self.fields['group']) + 1 :]}"

    def skeleton(self, own: Json, scratch: str) -> str:
        """`skeleton` of the whole request."""
        text = f'{self.kept}"id":{quote(own["id"])},"key":{quote(own["key"])}'
        if extra := OWN_KEPT & own.keys():
            text += "," + to_json({name: own[name] for name in extra})[1:-1]
        if self.home or self.progress:
            begin = quote(f"{scratch}/{own['key']}")[:-1]
            if self.home:
                text += f',"home":[{begin}.home",{self.home[0]},{self.home[1]},{self.home[2]}]'
            if self.progress:
                text += f',"progress":{begin}.progress"'
        if self.place:
            state, keep = map(quote, self.own_places(own["key"]))
            text += f',"state":{state},"trees":[{state}],"overlay":{{"keep":{keep}}}'
        return text


def skeleton(request: Json) -> str:
    """What of a request another launcher needs, as JSON without its braces."""
    kept = {name: request[name] for name in KEPT if name in request}
    if overlay := kept.pop("overlay", None):
        kept |= {"overlay": {"keep": overlay["keep"]}} if "keep" in overlay else {}
    return to_json(kept)[1:-1]
