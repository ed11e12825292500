"""The rule of unresolvable tags (semantics 2.24): what a text mentions must exist where it stands."""

from tiphys.manifests.rules import scopes, syntax, tags
from tiphys.manifests.rules.visits import Visit

MAX_REPORTED = 20
"""Different tags reported of one template, step or task."""


def check(visit: Visit, value: object, scope: scopes.Scope, label: str, *keys: str | int) -> None:
    """Report each tag of `value` (a struct, or a text) that nothing in `scope` resolves, behind `label`."""
    text = tags.text_of(value)
    if "{{" not in text:
        return
    reported: set[str] = set()
    for tag in tags.scan(text):
        if tag in reported or len(reported) > MAX_REPORTED:
            continue
        fault, hint = _fault(visit, tag, scope)
        if fault:
            reported.add(tag)
            raw = tags.unescaped(tag)
            visit.error(f"{label} {fault}", *keys, *tags.locate(value, "{{" + raw), hint=hint)


def _fault(visit: Visit, tag: str, scope: scopes.Scope) -> tuple[str, str]:
    written = tags.within_text(tag)
    if tag.startswith("="):
        return (syntax.expression_fault(tags.unescaped(tag[1:])) if written == tag else ""), ""
    if "{{" in written:  # a tag inside a tag: the inner one is pasted first, and the outer one is known only then
        return "", ""
    if written != tag:
        ours = written.lstrip().startswith(scopes.CHECKED)
        return (f"failed to resolve {{{{{tags.unescaped(written)}", "this {{ has no }} in its text") if ours else ("", "")
    name = tag.strip()
    if resolvable(visit, name, scope):
        return "", ""
    return f"failed to resolve {{{{{tags.unescaped(tag)}}}}}", visit.walk.nearest(name, scope)


def resolvable(visit: Visit, name: str, scope: scopes.Scope) -> bool:
    """Whether a simple tag is right, or is none of ours, or can only be judged at run time."""
    if not name.startswith(scopes.CHECKED) or name.startswith(scopes.ALWAYS):
        return True
    if name.startswith("workflow.parameters") and visit.walk.template_alone:
        return True
    return scope.knows(name)
