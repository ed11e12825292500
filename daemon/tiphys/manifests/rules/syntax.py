"""Expressions that can never be right (beyond Argo, whose lint does not look into them).

Only what does not parse is an error: names, types and values are known at run time.
"""

from tiphys.expressions import errors, expr


def expression_fault(source: str) -> str:
    """Why the text of an expression does not parse; "" where it does, or where a tag inside it has to be pasted first."""
    if "{{" in source:
        return ""
    try:
        expr.parse(source)
    except errors.ExpressionError as error:
        return f"failed to parse the expression {{{{={source}}}}}: {error}"
    return ""


def bare_fault(source: str) -> str:
    """As `expression_fault`, for a field that holds an expression without braces; "" for an empty one."""
    if not source or "{{" in source:
        return ""
    try:
        expr.parse(source)
    except errors.ExpressionError as error:
        return f"is not an expression: {error}"
    return ""
