"""Promises about the pure floors that neither import-linter nor ruff can judge."""

import ast
from pathlib import Path

import pytest

PURE = ("spec", "expressions", "manifests", "scheduler")
BANNED = {"open", "print", "input", "breakpoint"}


def impure(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            # A protocol says what the floors above do; it does nothing itself.
            if not (
                isinstance(node, ast.AsyncFunctionDef)
                and all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in node.body)
            ):
                found.append(f"line {node.lineno}: waits")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED:
            found.append(f"line {node.lineno}: calls {node.func.id}")
    return found


@pytest.mark.parametrize("floor", PURE)
def test_a_pure_floor_neither_waits_nor_touches_files(project: Path, floor: str) -> None:
    files = sorted((project / "daemon" / "tiphys" / floor).rglob("*.py"))
    assert files
    assert {str(file): bad for file in files if (bad := impure(ast.parse(file.read_text())))} == {}


def test_the_check_itself_sees_what_it_must() -> None:
    assert sorted(impure(ast.parse("async def f():\n    await x\nopen('y')"))) == ["line 1: waits", "line 2: waits", "line 3: calls open"]
    assert impure(ast.parse("class P:\n    async def f(self):\n        'Says.'\n        ...")) == []
