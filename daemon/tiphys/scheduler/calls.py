"""A call: one use of a template that is about to become a node."""

import msgspec

from tiphys.scheduler.records import Role
from tiphys.spec.templates import Arguments, LifecycleHook, TemplateRef


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything `starting.start` needs. A tree, of which there may be very many: the collector of cyclic garbage need not look at them.

    `arguments` are resolved; `absent` names arguments that refer to an absent optional. `turn` is the call's place in the walk from
    the entrypoint on, known once it has had to wait.
    """

    name: str
    role: Role
    owner: str = ""
    boundary: str = ""
    task: str = ""
    template: str = ""
    reference: TemplateRef | None = None
    inline: str = ""
    scope: str = ""
    arguments: Arguments | None = None
    absent: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    depth: int = 0
    in_exit: bool = False
    skipped: str | None = None
    turn: tuple[int, ...] = ()


class HookCall(msgspec.Struct, frozen=True, kw_only=True):
    """A hook of a step or task by its name in the node's name: `hooks.<name>` or `onExit`."""

    suffix: str
    hook: LifecycleHook
    exit: bool
