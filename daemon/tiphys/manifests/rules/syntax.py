"""Expressions that can never be right (beyond Argo, whose lint does not look into them).

Only what does not parse is an error: names, types and values are known at run time. A text that holds a tag is judged when the tag
has been replaced, by whoever runs it.
"""

from tiphys.expressions import conditions, depends, errors, expr


def expression_fault(source: str) -> str:
    """Why the text of an expression tag does not parse; "" where it does, or where a tag inside it has to be pasted first."""
    fault = bare_fault(source)
    return f"failed to parse {{{{={source}}}}}: {fault}" if fault else ""


def bare_fault(source: str) -> str:
    """As `expression_fault`, for a field that holds an expression without braces; "" for an empty one."""
    if not source or "{{" in source:
        return ""
    try:
        expr.parse(source)
    except errors.ExpressionError as error:
        return _one_line(error)
    return ""


def when_fault(text: str) -> str:
    """Why a `when` without tags cannot be evaluated; "" where it can, or where tags are to come."""
    if not text or "{{" in text:
        return ""
    try:
        conditions.evaluate(text)
    except conditions.ConditionError as error:
        return error.reason
    return ""


def depends_fault(text: str) -> str:
    """Why a `depends` does not parse; "" where it does."""
    if not text or "{{" in text:
        return ""
    try:
        depends.parse(text)
    except depends.DependsError as error:
        return error.reason
    return ""


def _one_line(error: errors.ExpressionError) -> str:
    return f"{error.reason} ({error.line}:{error.column})"
