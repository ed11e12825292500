"""How far an expression may go. Hostile text ends in an error, quickly and in little memory."""

MAX_SOURCE = 1 << 20
"""Characters in one expression."""
MAX_TOKENS = 40_000
"""Words in one expression."""
MAX_NODES = 10_000
"""Nodes of the syntax tree (expr's own limit)."""
MAX_NESTING = 100
"""Brackets, unary operators, conditionals and `let`s inside each other; keeps the parser's recursion shallow."""
MAX_DEPTH = 250
"""Depth of the syntax tree, which grows with chains such as `a + b + c` too; keeps the evaluator's recursion shallow."""
MAX_STEPS = 1_000_000
"""Units of work of one evaluation: an element looked at, a predicate's node evaluated, 64 characters copied."""
MAX_ITEMS = 1_000_000
"""Elements of one list (expr's memory budget)."""
MAX_TEXT = 1 << 24
"""Characters of one string."""
MAX_VALUE_DEPTH = 200
"""Lists and maps inside each other, in values."""
MAX_PATTERN = 4096
"""Characters of a regular expression."""
