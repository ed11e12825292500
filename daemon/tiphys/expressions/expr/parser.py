"""Tokens to a syntax tree, by precedence climbing."""

from tiphys.expressions.expr import grammar, lexer, limits, numerals, tree
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.lexer import Token


def parse(source: str, builtins: frozenset[str]) -> tree.Node:
    """The syntax tree of `source`; calls of a name in `builtins` become Builtin nodes. Raises Fault."""
    return _Parser(source, builtins).whole()


class _Parser:
    def __init__(self, source: str, builtins: frozenset[str]) -> None:
        self._tokens = lexer.tokens(source)
        self._builtins = builtins
        self._position = 0
        self._nesting = 0
        self._predicates = 0

    # --- tokens

    @property
    def _current(self) -> Token:
        return self._tokens[self._position]

    def _is(self, *texts: str) -> bool:
        token = self._current
        return token.text in texts and token.kind in {"Operator", "Bracket"}

    def _next(self) -> Token:
        token = self._current
        if token.kind != "EOF":
            self._position += 1
        return token

    def _take(self, *texts: str) -> Token | None:
        return self._next() if self._is(*texts) else None

    def _expect(self, text: str) -> Token:
        if not self._is(text):
            raise self._unexpected()
        return self._next()

    def _unexpected(self) -> Fault:
        return Fault(f"unexpected token {self._current}", self._current.at)

    # --- expressions

    def whole(self) -> tree.Node:
        node = self._sequence()
        if self._current.kind != "EOF":
            raise self._unexpected()
        return node

    def _sequence(self) -> tree.Node:
        at = self._current.at
        items = [self._expression(0)]
        while self._take(";"):
            if self._current.kind == "EOF" or self._is(")", "}"):
                break
            items.append(self._expression(0))
        return items[0] if len(items) == 1 else tree.Sequence(tuple(items), at)

    def _expression(self, power: int) -> tree.Node:
        self._nesting += 1
        if self._nesting > limits.MAX_NESTING:
            raise Fault("expression is nested too deeply", self._current.at)
        try:
            if power == 0 and self._is("let"):
                return self._let()
            if power == 0 and self._is("if"):
                return self._if()
            node = self._operations(self._primary(), power)
            return self._conditional(node) if power == 0 else node
        finally:
            self._nesting -= 1

    def _operations(self, left: tree.Node, power: int) -> tree.Node:
        previous = ""
        while self._current.kind == "Operator":
            token, name, negated = self._current, self._current.text, False
            if name == "not":
                follower = self._tokens[self._position + 1]
                if follower.kind != "Operator" or follower.text not in grammar.NEGATABLE:
                    self._position += 1
                    raise self._unexpected()
                name, negated = follower.text, True
            operator = grammar.BINARY.get(name)
            if operator is None or operator.power < power:
                break
            self._next()
            if negated:
                self._next()
            if name == "|":
                left = self._postfix(self._call(self._name(), (left,)))
            elif previous == "??" and name != "??":
                reason = f"Operator ({name}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses."
                raise Fault(reason, token.at)
            elif name in grammar.CHAINED:
                left = self._comparison(left, token)
            else:
                right = self._expression(operator.power if operator.right else operator.power + 1)
                left = tree.Binary(grammar.SPELLINGS.get(name, name), left, right, token.at)
            if negated:
                left = tree.Unary("!", left, token.at)
            previous = name
        return left

    def _comparison(self, left: tree.Node, token: Token) -> tree.Node:
        result: tree.Node | None = None
        while True:
            right = self._expression(grammar.BINARY[token.text].power + 1)
            comparison = tree.Binary(token.text, left, right, token.at)
            result = comparison if result is None else tree.Binary("&&", result, comparison, token.at)
            left, token = right, self._current
            if not self._is(*grammar.CHAINED):
                return result
            self._next()

    def _conditional(self, test: tree.Node) -> tree.Node:
        while token := self._take("?", "?:"):
            if token.text == "?:":
                then = test
            else:
                then = self._expression(0)
                self._expect(":")
            test = tree.Conditional(test, then, self._expression(0), token.at)
        return test

    def _let(self) -> tree.Node:
        at = self._expect("let").at
        name = self._name().text
        self._expect("=")
        value = self._expression(0)
        self._expect(";")
        return tree.Let(name, value, self._sequence(), at)

    def _if(self) -> tree.Node:
        at = self._expect("if").at
        test = self._expression(0)
        then = self._block()
        self._expect("else")
        otherwise = self._if_again() if self._is("if") else self._block()
        return tree.Conditional(test, then, otherwise, at)

    def _if_again(self) -> tree.Node:
        return self._expression(0)

    def _block(self) -> tree.Node:
        self._expect("{")
        body = self._sequence()
        self._expect("}")
        return body

    # --- operands

    def _primary(self) -> tree.Node:
        token = self._current
        if token.kind == "Operator" and token.text in grammar.UNARY:
            self._next()
            operand = self._expression(grammar.UNARY[token.text])
            return self._postfix(tree.Unary(grammar.SPELLINGS.get(token.text, token.text), operand, token.at))
        if self._take("("):
            inner = self._sequence()
            self._expect(")")
            return self._postfix(inner)
        if self._is("#", "."):
            return self._postfix(self._pointer())
        if self._take("::"):
            return self._postfix(self._call(self._name(), ()))
        return self._postfix(self._operand())

    def _pointer(self) -> tree.Node:
        token = self._current
        if not self._predicates:
            raise Fault("cannot use pointer accessor outside predicate", token.at)
        if token.text == ".":
            return tree.Pointer("", token.at)
        self._next()
        name = ""
        if self._current.kind == "Identifier" and self._current.at == token.at + 1:
            name = self._next().text
            if name not in {"acc", "index"}:
                raise Fault(f"unknown pointer #{name}", token.at)
        return tree.Pointer(name, token.at)

    def _operand(self) -> tree.Node:
        token = self._current
        match token.kind:
            case "Identifier":
                self._next()
                if self._is("("):
                    return self._call(token, ())
                return _word(token)
            case "Number":
                self._next()
                return numerals.node(token.text, token.at)
            case "String":
                self._next()
                return tree.String(token.text, token.at)
            case _ if self._is("["):
                return self._array()
            case _ if self._is("{"):
                return self._map()
            case _:
                raise self._unexpected()

    def _name(self) -> Token:
        if self._current.kind != "Identifier":
            raise self._unexpected()
        return self._next()

    def _array(self) -> tree.Node:
        at = self._expect("[").at
        items: list[tree.Node] = []
        while not self._take("]"):
            items.append(self._expression(0))
            if not self._is("]"):
                self._expect(",")
        return tree.Array(tuple(items), at)

    def _map(self) -> tree.Node:
        at = self._expect("{").at
        pairs: list[tuple[tree.Node, tree.Node]] = []
        while not self._take("}"):
            key = self._key()
            self._expect(":")
            pairs.append((key, self._expression(0)))
            if not self._is("}"):
                self._expect(",")
        return tree.Map(tuple(pairs), at)

    def _key(self) -> tree.Node:
        token = self._current
        if token.kind in {"String", "Number", "Identifier"} or (token.kind == "Operator" and token.text in lexer.WORDS):
            self._next()
            return tree.String(token.text, token.at)
        if self._take("("):
            key = self._expression(0)
            self._expect(")")
            return key
        reason = (
            "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses "
            f"(unexpected token {token})"
        )
        raise Fault(reason, token.at)

    # --- what follows an operand

    def _postfix(self, node: tree.Node) -> tree.Node:
        chained = False
        while token := self._take(".", "?.", "["):
            if token.text == "[":
                node = self._index(node, token.at, optional=False)
                continue
            optional = token.text == "?."
            chained = chained or optional
            if optional and (bracket := self._take("[")):
                node = self._index(node, bracket.at, optional=True)
            else:
                node = self._property(node, optional=optional)
        return tree.Chain(node, node.at) if chained else node

    def _property(self, target: tree.Node, *, optional: bool) -> tree.Node:
        token = self._current
        if token.kind == "EOF":
            raise Fault("unexpected end of expression", token.at)
        if token.kind != "Identifier":
            raise Fault("expected name", token.at)
        self._next()
        member = tree.Member(target, tree.String(token.text, token.at), optional, token.at)
        return tree.Call(member, self._arguments(), token.at) if self._is("(") else member

    def _index(self, target: tree.Node, at: int, *, optional: bool) -> tree.Node:
        start = None if self._is(":") else self._expression(0)
        if self._take(":"):
            stop = None if self._is("]") else self._expression(0)
            self._expect("]")
            return tree.Slice(target, start, stop, at)
        self._expect("]")
        if start is None:
            raise self._unexpected()
        member = tree.Member(target, start, optional, at)
        return tree.Call(member, self._arguments(), at) if self._is("(") else member

    def _call(self, name: Token, first: tuple[tree.Node, ...]) -> tree.Node:
        if name.text in grammar.PREDICATES and name.text in self._builtins:
            return tree.Builtin(name.text, self._predicated(name, first), name.at)
        arguments = (*first, *self._arguments())
        if name.text in self._builtins:
            return tree.Builtin(name.text, arguments, name.at)
        return tree.Call(tree.Name(name.text, name.at), arguments, name.at)

    def _arguments(self) -> tuple[tree.Node, ...]:
        self._expect("(")
        arguments: list[tree.Node] = []
        while not self._take(")"):
            arguments.append(self._expression(0))
            if not self._is(")"):
                self._expect(",")
        return tuple(arguments)

    def _predicated(self, name: Token, first: tuple[tree.Node, ...]) -> tuple[tree.Node, ...]:
        self._expect("(")
        arguments = list(first)
        for wanted in grammar.PREDICATES[name.text][len(first) :]:
            if self._is(")") and wanted.endswith("?"):
                break
            if len(arguments) > len(first):
                self._expect(",")
                if self._is(")") and wanted.endswith("?"):
                    break
            arguments.append(self._predicate() if wanted.startswith("predicate") else self._expression(0))
        self._take(",")
        if not self._is(")") and len(arguments) == len(grammar.PREDICATES[name.text]):
            raise Fault(f"too many arguments to call {name.text}", self._current.at)
        self._expect(")")
        return tuple(arguments)

    def _predicate(self) -> tree.Node:
        at = self._current.at
        self._predicates += 1
        body = self._block() if self._is("{") else self._expression(0)
        self._predicates -= 1
        return tree.Predicate(body, at)


def _word(token: Token) -> tree.Node:
    match token.text:
        case "nil":
            return tree.Nil(token.at)
        case "true" | "false":
            return tree.Boolean(token.text == "true", token.at)
        case _:
            return tree.Name(token.text, token.at)
