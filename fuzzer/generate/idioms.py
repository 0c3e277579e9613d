"""Expressions that compilers look for: drawn as they stand, since chance brings their parts together too seldom.

A compiler's rules are patterns over a few instructions (``band (bnot x), (bnot y)``), and a bug of a rule shows only
where its whole pattern does. A target says what it looks for (:meth:`fuzzer.targets.target.Target.idioms`), in the
notation of its rules, as far as that is of opcodes and operands::

    sub_itself    isub x, x                      a name twice is the same value twice
    mul_power     imul x, #k                     a constant worth trying at this place
    or_ones       bor x, -1                      this constant
    any_shift     ishl|ushr|sshr x, (band y, #k) one of these opcodes

What a rule demands besides (of types, of constants) is left to chance: near misses are worth as much. So now and then
another opcode, of those that are simplified in such a place, stands where one is nested. Nothing here has
effects: an idiom with a memory access, a branch or a trap is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.ir.entities import Value
from backend.ir.opcodes import INT_CC, find_opcode
from backend.ir.types import Type
from fuzzer.generate.constants import draw_bits

if TYPE_CHECKING:
    from fuzzer.generate.draft import Draft
    from fuzzer.generate.operations import Form, Operation

_TOKEN: Final = re.compile(r"\s*([(),]|[^\s(),]+)")
_SHIFTS: Final = frozenset({"ishl", "ushr", "sshr", "rotl", "rotr"})
_DIVISIONS: Final = frozenset({"udiv", "sdiv", "urem", "srem"})


_MISSED: Final = 0.1
"""How often a nested instruction is another one."""
IDIOM: Final = 109
"""Span label of an idiom."""


class Leaf(NamedTuple):
    """An operand. ``constant``: a number, or None for one to be drawn, if ``name`` is ""; else a value by name."""

    name: str
    constant: int | None = None


class Node(NamedTuple):
    """An instruction, of any of ``opcodes``."""

    opcodes: tuple[str, ...]
    args: tuple[Node | Leaf, ...]


@cache
def parse_idiom(text: str) -> Node | None:
    """None if an opcode of it has effects or is not CLIF's. ValueError for a text that is no pattern."""
    tokens = _TOKEN.findall(text)
    node = _node(tokens)
    if tokens:
        raise ValueError(f"{text!r}: {tokens[0]!r} is too much")
    return node if _is_pure(node) else None


def _node(tokens: list[str]) -> Node:
    opcodes = tuple(tokens.pop(0).split("|"))
    args: list[Node | Leaf] = []
    while tokens and tokens[0] != ")":
        token = tokens.pop(0)
        if token == "(":
            args.append(_node(tokens))
            if not tokens or tokens.pop(0) != ")":
                raise ValueError(f"{opcodes[0]}: a parenthesis is open")
        elif token != ",":
            args.append(_leaf(token))
    return Node(opcodes, tuple(args))


def _leaf(token: str) -> Leaf:
    if token[0] == "#":
        return Leaf("")
    if token.lstrip("-").isdigit():
        return Leaf("", int(token))
    return Leaf(token.partition(":")[0].lstrip("?%"))


def _is_pure(node: Node) -> bool:
    for name in node.opcodes:
        op = find_opcode(name)
        if op is None or op.reads or op.shape not in ("values", "int_compare", "float_compare"):
            return False
        if op.side_effects and (name not in _DIVISIONS or not _divides(node)):
            return False
    return all(_is_pure(arg) for arg in node.args if isinstance(arg, Node))


def _divides(node: Node) -> bool:
    """Is the divisor a constant? One that is drawn is no zero."""
    divisor = node.args[-1]
    return isinstance(divisor, Leaf) and not divisor.name and divisor.constant != 0


class Idioms:
    """Those of ``texts`` whose roots have forms. ``forms(opcode)``: all forms of one that a target supports, without
    side effects or of a division."""

    def __init__(self, texts: Sequence[str], forms: Callable[[str], Sequence[Form]]) -> None:
        self._forms = forms
        self._giving: dict[tuple[tuple[str, ...], Type], tuple[Form, ...]] = {}
        parsed = [node for text in texts if (node := parse_idiom(text)) is not None]
        found = [
            (
                node,
                [form for name in node.opcodes for form in forms(name) if self._fits(node, form)],
            )
            for node in parsed
        ]
        self.roots: list[tuple[Node, list[Form]]] = [
            (node, roots) for node, roots in found if roots
        ]

    def _fits(self, node: Node, form: Form) -> bool:
        """Are there instructions for what is nested in it?"""
        return all(
            isinstance(arg, Leaf)
            or any(self._fits(arg, inner) for inner in self.giving(arg.opcodes, type_))
            for arg, type_ in zip(node.args, form.operands, strict=False)
        )

    def giving(self, opcodes: tuple[str, ...], type_: Type) -> tuple[Form, ...]:
        """Forms of these opcodes whose only result is of ``type_``."""
        found = self._giving.get((opcodes, type_))
        if found is None:
            found = self._giving[opcodes, type_] = tuple(
                form for name in opcodes for form in self._forms(name) if form.results == (type_,)
            )
        return found


def idiom(g: Draft, operation: Operation) -> None:
    """Some of the idioms, of values in reach."""
    roots, source = g.repertoire.idioms.roots, g.source
    if not roots:
        g.add()
        return
    more = True
    while more:
        source.start(IDIOM)
        node, forms = roots[source.int(0, len(roots) - 1)]
        form = forms[source.int(0, len(forms) - 1)]
        results = _Drawn(g).grow(node, form)
        for value, type_ in zip(results, form.results, strict=True):
            g.scope[type_].append(value)
        more = source.bool(0.65)
        source.end()


class _Drawn:
    """One idiom while it is drawn: the values that its names stand for, and the constant drawn last."""

    def __init__(self, g: Draft) -> None:
        self.g = g
        self.bound: dict[str, Value] = {}
        self.number = 0

    def grow(self, node: Node, form: Form) -> tuple[Value, ...]:
        """The results of the whole."""
        g = self.g
        args = [
            self._operand(arg, form, place, type_)
            for place, (arg, type_) in enumerate(zip(node.args, form.operands, strict=False))
        ]
        args += [g.operand(type_) for type_ in form.operands[len(args) :]]
        keyword = g.draw_keyword(form.op.shape)
        if form.op.shape == "int_compare" and g.source.bool(0.4):
            keyword = INT_CC[g.source.int(0, 1)]
        return g.made(form, args, keyword)

    def _operand(self, arg: Node | Leaf, form: Form, place: int, type_: Type) -> Value:
        g = self.g
        if isinstance(arg, Node):
            forms = g.repertoire.idioms.giving(arg.opcodes, type_)
            if g.source.bool(_MISSED):
                near = g.repertoire.kindred(form.op.name, type_)
                forms = tuple([one for one in near if len(one.operands) == len(arg.args)]) or forms
            if not forms:
                return g.operand(type_)
            return self.grow(arg, forms[g.source.int(0, len(forms) - 1)])[0]
        if arg.constant is not None or not arg.name:
            bits = self._constant(form, place, type_) if arg.constant is None else arg.constant
            return g.constant(type_, bits & type_.mask)
        value = self.bound.get(arg.name)
        if value is None or g.value_types[value] is not type_:
            value = self.bound[arg.name] = self._value(type_)
        return value

    def _value(self, type_: Type) -> Value:
        """A value in reach: a constant would be folded before anything is looked for."""
        values = self.g.scope[type_]
        if not values:
            return self.g.operand(type_)
        return values[-1 - self.g.source.int(0, 15) % len(values)]

    def _constant(self, form: Form, place: int, type_: Type) -> int:
        """What a rule may want here: an amount for a shift, a power of two, a mask, an extreme, the number that it has
        already, or any that is worth trying."""
        source = self.g.source
        way = source.int(0, 7)
        if type_.is_float:
            return draw_bits(source, type_)
        divides = form.op.name in _DIVISIONS
        if way == 7 and (self.number or not divides):
            return self.number
        power = 1 << source.int(0, type_.bits - 1)
        if form.op.name in _SHIFTS and place == 1 and way < 6:
            found = source.int(0, 4) if way < 2 else source.int(0, form.operands[0].bits - 1)
        elif way < (5 if divides else 2):
            found = power
        elif way < 4:
            found = (power - 1, type_.mask, type_.sign, type_.sign - 1)[source.int(0, 3)]
        else:
            found = draw_bits(source, type_)
        if divides:
            found = found or 1
        self.number = found
        return found
