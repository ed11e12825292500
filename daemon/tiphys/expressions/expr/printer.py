"""A syntax tree to text that parses to the same tree."""

from tiphys.expressions.expr import grammar, lexer, tree

_ATOM = 1000
_UNARY = {"!": 50, "-": 90, "+": 90}


def show(node: tree.Node) -> str:
    """The expression in a fixed spelling: one blank around operators, texts in double quotes, brackets only where needed."""
    return _show(node, -2)


def _show(node: tree.Node, power: int) -> str:
    """The node as an operand that must bind at least as strongly as `power`."""
    written, own = _written(node)
    return f"({written})" if own < power else written


def _written(node: tree.Node) -> tuple[str, int]:
    match node:
        case tree.Nil():
            return "nil", _ATOM
        case tree.Boolean(value=value):
            return str(value).lower(), _ATOM
        case tree.Integer(value=value):
            return str(value), _ATOM
        case tree.Float(value=value):
            return repr(value), _ATOM
        case tree.String(value=value):
            return quoted(value), _ATOM
        case tree.Name(name=name):
            return name, _ATOM
        case tree.Pointer(name=name):
            return f"#{name}", _ATOM
        case tree.Unary(operator=operator, operand=operand):
            return f"{operator}{_show(operand, _UNARY[operator])}", _UNARY[operator]
        case tree.Binary():
            return _binary(node)
        case tree.Member() | tree.Slice() | tree.Chain() | tree.Call():
            return _access(node), _ATOM
        case tree.Builtin(name=name, arguments=arguments):
            return f"{name}({_listed(arguments)})", _ATOM
        case tree.Predicate(body=body):
            return f"{{{_show(body, -2)}}}", _ATOM
        case tree.Conditional(test=test, then=then, otherwise=otherwise):
            return f"{_show(test, 1)} ? {_show(then, 0)} : {_show(otherwise, 0)}", 0
        case tree.Let(name=name, value=value, body=body):
            return f"let {name} = {_show(value, 0)}; {_show(body, -2)}", -1
        case tree.Sequence(items=items):
            return "; ".join(_show(item, 0) for item in items), -1
        case tree.Array(items=items):
            return f"[{_listed(items)}]", _ATOM
        case tree.Map(pairs=pairs):
            return f"{{{', '.join(f'{_key(key)}: {_show(value, 0)}' for key, value in pairs)}}}", _ATOM


def _binary(node: tree.Binary) -> tuple[str, int]:
    operator = grammar.BINARY[node.operator]
    left, right = operator.power, operator.power
    if operator.right:
        left += 1
    else:
        right += 1
    if node.operator in grammar.CHAINED:
        left += 1
    return f"{_operand(node.left, left)} {node.operator} {_operand(node.right, right)}", operator.power


def _operand(node: tree.Node, power: int) -> str:
    """An operand; `??` inside another operator stands in brackets, as the language asks for on one of the sides."""
    written, own = _written(node)
    coalesce = isinstance(node, tree.Binary) and node.operator == "??" and power != grammar.BINARY["??"].power
    return f"({written})" if own < power or coalesce else written


def _access(node: tree.Node) -> str:
    """A member, a slice, a chain or a call: what is inside a Chain is written without brackets, a Chain below it with them."""
    return _link(node.body if isinstance(node, tree.Chain) else node)


def _link(node: tree.Node) -> str:
    match node:
        case tree.Member(target=target, key=key, optional=optional):
            if isinstance(key, tree.String) and lexer.is_name(key.value):
                return f"{_target(target)}{'?.' if optional else '.'}{key.value}"
            return f"{_target(target)}{'?.' if optional else ''}[{_show(key, 0)}]"
        case tree.Slice(target=target, start=start, stop=stop):
            first = _show(start, 0) if start is not None else ""
            last = _show(stop, 0) if stop is not None else ""
            return f"{_target(target)}[{first}:{last}]"
        case tree.Call(callee=callee, arguments=arguments):
            return f"{_link(callee)}({_listed(arguments)})"
        case _:
            return _target(node)


def _target(node: tree.Node) -> str:
    match node:
        case tree.Member() | tree.Slice() | tree.Call():
            return _link(node)
        case tree.Integer() | tree.Float() | tree.Chain():
            return f"({_show(node, 0)})"
        case _:
            return _show(node, _ATOM)


def _listed(items: tuple[tree.Node, ...]) -> str:
    return ", ".join(_show(item, 0) for item in items)


def _key(node: tree.Node) -> str:
    if isinstance(node, tree.String):
        return node.value if lexer.is_name(node.value) else quoted(node.value)
    return f"({_show(node, 0)})"


def quoted(text: str) -> str:
    """The text as a literal in double quotes."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    simple = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}.get(character)
    if simple is not None:
        return simple
    return character if character.isprintable() else f"\\U{ord(character):08X}"
