"""A syntax tree to nested Python closures: compiled once, run many times."""

from collections.abc import Callable

from tiphys.expressions.expr import argo, builtins, limits, members, operators, patterns, predicates, sprig, tree, values
from tiphys.expressions.expr.faults import Fault
from tiphys.expressions.expr.functions import Bound, Function
from tiphys.expressions.expr.runs import Run

Code = Callable[[Run], object]

_BINARY: dict[str, operators.Binary] = {
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "/": operators.divide,
    "%": operators.modulo,
    "**": operators.power,
    "..": operators.spread,
    "in": operators.contained,
    "==": values.equal,
    "!=": lambda run, left, right: not values.equal(run, left, right),
    "<": operators.compare("<", lambda left, right: left < right),  # type: ignore[operator]  # compare() checks the types
    ">": operators.compare(">", lambda left, right: left > right),  # type: ignore[operator]  # compare() checks the types
    "<=": operators.compare("<=", lambda left, right: left <= right),  # type: ignore[operator]  # compare() checks the types
    ">=": operators.compare(">=", lambda left, right: left >= right),  # type: ignore[operator]  # compare() checks the types
    "contains": operators.textual(lambda _run, left, right: right in left),
    "startsWith": operators.textual(lambda _run, left, right: left.startswith(right)),
    "endsWith": operators.textual(lambda _run, left, right: left.endswith(right)),
    "matches": operators.textual(lambda run, left, right: patterns.search(run, right, left)),
}
_UNARY: dict[str, Callable[[object], object]] = {
    "!": lambda value: not values.boolean(value),
    "-": operators.negate,
    "+": operators.plus,
}


class _Short(Exception):
    pass


_SHORT = _Short()


def compile_tree(node: tree.Node) -> tuple[Code, int]:
    """The code of a whole expression and how many slots its runs need; raises Fault."""
    compiler = _Compiler()
    return compiler.code(node), compiler.slots


class _Compiler:
    """Knows which slot holds which variable while it goes down the tree."""

    def __init__(self) -> None:
        self.slots = 0
        self._depth = self._nodes = 0
        self._names: dict[str, int] = {}
        self._pointers: dict[str, int] = {}

    def code(self, node: tree.Node) -> Code:
        self._depth += 1
        self._nodes += 1
        if self._nodes > limits.MAX_NODES:
            raise Fault("compilation failed: expression exceeds maximum allowed nodes", node.at)
        if self._depth > limits.MAX_DEPTH:
            raise Fault("expression is nested too deeply", node.at)
        code = self._code(node)
        self._depth -= 1
        return code

    def _code(self, node: tree.Node) -> Code:
        match node:
            case tree.Nil():
                return lambda _run: None
            case tree.Boolean(value=value) | tree.Integer(value=value) | tree.Float(value=value) | tree.String(value=value):
                return lambda _run: value
            case tree.Name():
                return self._name(node)
            case tree.Pointer():
                return self._pointer(node)
            case tree.Unary():
                return self._unary(node)
            case tree.Binary():
                return self._binary(node)
            case tree.Member():
                return self._member(node)
            case tree.Slice():
                return self._slice(node)
            case tree.Chain():
                return _chain(self.code(node.body))
            case tree.Call():
                return self._call(node)
            case tree.Builtin():
                return self._builtin(node)
            case tree.Predicate():
                raise Fault("unexpected predicate", node.at)
            case tree.Conditional():
                return self._conditional(node)
            case tree.Let():
                return self._let(node)
            case tree.Sequence():
                return _sequence([self.code(item) for item in node.items])
            case tree.Array():
                items = [self.code(item) for item in node.items]
                return lambda run: [item(run) for item in items]
            case tree.Map():
                return self._map(node)

    def _slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    # --- variables

    def _name(self, node: tree.Name) -> Code:
        name = node.name
        slot = self._names.get(name)
        if slot is not None:
            return lambda run: run.slots[slot]
        if name == "$env":
            return lambda run: run.env
        return lambda run: run.env.get(name)

    def _pointer(self, node: tree.Pointer) -> Code:
        slot = self._pointers.get(node.name)
        if slot is None:
            reason = f"cannot use pointer #{node.name} here"
            raise Fault(reason, node.at)
        return lambda run: run.slots[slot]

    def _let(self, node: tree.Let) -> Code:
        if node.name in builtins.TABLE or node.name in predicates.NAMES:
            reason = f"cannot redeclare builtin {node.name}"
            raise Fault(reason, node.at)
        if node.name in self._names:
            reason = f"cannot redeclare variable {node.name}"
            raise Fault(reason, node.at)
        value = self.code(node.value)
        slot = self._names[node.name] = self._slot()
        body = self.code(node.body)
        del self._names[node.name]

        def let(run: Run) -> object:
            run.slots[slot] = value(run)
            return body(run)

        return let

    # --- operators

    def _unary(self, node: tree.Unary) -> Code:
        operate, operand, at = _UNARY[node.operator], self.code(node.operand), node.at

        def unary(run: Run) -> object:
            value = operand(run)
            try:
                return operate(value)
            except Fault as fault:
                raise fault.placed(at) from None

        return unary

    def _binary(self, node: tree.Binary) -> Code:
        left, right, at = self.code(node.left), self.code(node.right), node.at
        match node.operator:
            case "&&":
                return _logical(left, right, at, shortcut=False)
            case "||":
                return _logical(left, right, at, shortcut=True)
            case "??":
                return _coalesce(left, right)
        if node.operator == "matches" and isinstance(node.right, tree.String):
            try:
                patterns.check(node.right.value)
            except Fault as fault:
                raise fault.placed(node.right.at) from None
        operate = _BINARY[node.operator]

        def binary(run: Run) -> object:
            one, other = left(run), right(run)
            try:
                return operate(run, one, other)
            except Fault as fault:
                raise fault.placed(at) from None

        return binary

    def _conditional(self, node: tree.Conditional) -> Code:
        test, then, otherwise, at = self.code(node.test), self.code(node.then), self.code(node.otherwise), node.test.at

        def conditional(run: Run) -> object:
            return then(run) if _truth(test(run), at) else otherwise(run)

        return conditional

    # --- access

    def _member(self, node: tree.Member) -> Code:
        target, key, optional, at = self.code(node.target), self.code(node.key), node.optional, node.at

        def member(run: Run) -> object:
            whole = target(run)
            if optional and whole is None:
                raise _SHORT
            part = key(run)
            try:
                return members.fetch(whole, part)
            except Fault as fault:
                raise fault.placed(at) from None

        if optional or not isinstance(node.key, tree.String):
            return member
        name = node.key.value

        def named(run: Run) -> object:
            whole = target(run)
            if type(whole) is dict:
                return whole.get(name)
            try:
                return members.fetch(whole, name)
            except Fault as fault:
                raise fault.placed(at) from None

        return named

    def _slice(self, node: tree.Slice) -> Code:
        target, at = self.code(node.target), node.at
        start = self.code(node.start) if node.start is not None else None
        stop = self.code(node.stop) if node.stop is not None else None

        def cut(run: Run) -> object:
            whole = target(run)
            first, last = start and start(run), stop and stop(run)
            try:
                return operators.cut(run, whole, first, last)
            except Fault as fault:
                raise fault.placed(at) from None

        return cut

    def _map(self, node: tree.Map) -> Code:
        pairs = [(self.code(key), self.code(value), key.at) for key, value in node.pairs]

        def build(run: Run) -> object:
            made: dict[object, object] = {}
            for key, value, at in pairs:
                name = key(run)
                try:
                    made[values.text(name)] = value(run)
                except Fault as fault:
                    raise fault.placed(at) from None
            return made

        return build

    # --- calls

    def _call(self, node: tree.Call) -> Code:
        arguments, at = [self.code(argument) for argument in node.arguments], node.at
        match node.callee:
            case tree.Name(name=name) if name not in self._names:
                return _function_call(name, argo.TABLE.get(name), arguments, at)
            case tree.Member(target=tree.Name(name="sprig"), key=tree.String(value=name)) if "sprig" not in self._names:
                return _function_call(f"sprig.{name}", sprig.TABLE.get(name), arguments, at)
            case callee:
                return _value_call(self.code(callee), arguments, at)

    def _builtin(self, node: tree.Builtin) -> Code:
        if any(isinstance(argument, tree.Predicate) for argument in node.arguments):
            return self._predicated(node)
        function = builtins.TABLE.get(node.name)
        if function is None:
            reason = f"not enough arguments to call {node.name}"
            raise Fault(reason, node.at)
        return _direct_call(function, [self.code(argument) for argument in node.arguments], node.at)

    def _predicated(self, node: tree.Builtin) -> Code:
        outer = self._pointers
        first, predicate, *rest = node.arguments
        if not isinstance(predicate, tree.Predicate):
            reason = f"{node.name} needs a predicate"
            raise Fault(reason, node.at)
        array, others, at = self.code(first), [self.code(other) for other in rest], node.at
        slots = predicates.Slots(item=self._slot(), place=self._slot(), acc=self._slot())
        self._pointers = {"": slots.item, "index": slots.place} | ({"acc": slots.acc} if node.name == "reduce" else {})
        body = self.code(predicate.body)
        self._pointers = outer
        loop = predicates.loop(node.name, body, slots, predicate.body.at)

        def looped(run: Run) -> object:
            arguments = [array(run), *[other(run) for other in others]]
            try:
                return loop(run, *arguments)
            except Fault as fault:
                raise fault.placed(at) from None

        return looped


def _truth(value: object, at: int) -> bool:
    try:
        return values.boolean(value)
    except Fault as fault:
        raise fault.placed(at) from None


def _logical(left: Code, right: Code, at: int, *, shortcut: bool) -> Code:
    def logical(run: Run) -> object:
        return shortcut if _truth(left(run), at) is shortcut else _truth(right(run), at)

    return logical


def _coalesce(left: Code, right: Code) -> Code:
    def coalesce(run: Run) -> object:
        value = left(run)
        return right(run) if value is None else value

    return coalesce


def _chain(body: Code) -> Code:
    def chain(run: Run) -> object:
        try:
            return body(run)
        except _Short:
            return None

    return chain


def _sequence(items: list[Code]) -> Code:
    def sequence(run: Run) -> object:
        value: object = None
        for item in items:
            value = item(run)
        return value

    return sequence


def _direct_call(function: Function, arguments: list[Code], at: int) -> Code:
    def call(run: Run) -> object:
        given = [argument(run) for argument in arguments]
        try:
            return function(run, given)
        except Fault as fault:
            raise fault.placed(at) from None

    return call


def _function_call(name: str, function: Function | None, arguments: list[Code], at: int) -> Code:
    direct = _direct_call(function, arguments, at) if function is not None else None

    def call(run: Run) -> object:
        if direct is not None and run.argo:
            return direct(run)
        reason = f"unknown name {name}"
        raise Fault(reason, at)

    return call


def _value_call(callee: Code, arguments: list[Code], at: int) -> Code:
    def call(run: Run) -> object:
        function = callee(run)
        given = [argument(run) for argument in arguments]
        if not isinstance(function, Function | Bound):
            reason = f"{values.go_type(function)} is not callable"
            raise Fault(reason, at)
        try:
            return function(run, given)
        except Fault as fault:
            raise fault.placed(at) from None

    return call
