"""The rows of :mod:`backend.opt.rules`, compiled: one Python function an opcode that tries its rules in order.

Each rule becomes a block, once for every order of operands that commutative opcodes allow, that is left with ``break``
as soon as it does not fit, and with ``return`` once it has rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from backend.ir.entities import Inst, Value
from backend.ir.opcodes import INVERTED, SWAPPED, Opcode, opcode_named
from backend.opt.rules import RULES, TRUTHS

if TYPE_CHECKING:
    from backend.opt.simplify import Simplifier

_ROW: Final = re.compile(r"(\w+):\s+([\w|]+) (.+?) -> (.+?)(?: if (.+))?")
_TOKEN: Final = re.compile(r"\s*([(),]|\{[^}]*\}|[^\s(),\[]+\[.*\](?=\s)|[^\s(),]+)")


@dataclass(frozen=True, slots=True)
class Leaf:
    """``kind``: "value", "const" (#name), "int" or "expression"."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Node:
    """``opcode`` is "" for the root's own; ``keyword``: expression of a comparison's condition, or ""."""

    opcode: str
    args: tuple[Leaf | Node, ...]
    keyword: str = ""


Term = Leaf | Node


@dataclass(frozen=True, slots=True)
class Rule:
    """One row, for each of ``roots``. ``number``: its place in :data:`NAMES`."""

    number: int
    name: str
    roots: tuple[str, ...]
    left: tuple[Term, ...]
    right: Term
    when: str


def parse_rules(text: str, first: int) -> list[Rule]:
    """The rows of ``text``, numbered from ``first``. ValueError for a row that is no rule."""
    made: list[Rule] = []
    for line in text.strip().splitlines():
        match = _ROW.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{line!r} is no rule")
        name, roots, left, right, when = match.groups()
        tokens = _TOKEN.findall(left)
        args = _operands(tokens)
        rest = _TOKEN.findall(right)
        result = _node(rest) if len(rest) > 1 else _leaf(rest.pop())
        if tokens or rest:
            raise ValueError(f"{line!r}: {(tokens + rest)[0]!r} is too much")
        made.append(
            Rule(first + len(made), name, tuple(roots.split("|")), args, result, when or "")
        )
    return made


def _node(tokens: list[str]) -> Node:
    opcode, _, keyword = tokens.pop(0).partition("[")
    return Node("" if opcode == "_" else opcode, _operands(tokens), keyword.removesuffix("]"))


def _operands(tokens: list[str]) -> tuple[Term, ...]:
    args: list[Term] = []
    while tokens and tokens[0] != ")":
        token = tokens.pop(0)
        if token == ",":
            continue
        if token != "(":
            args.append(_leaf(token))
            continue
        args.append(_node(tokens))
        if not tokens or tokens.pop(0) != ")":
            raise ValueError("a parenthesis is open")
    return tuple(args)


def _leaf(token: str) -> Leaf:
    if token[0] == "#":
        return Leaf("const", token[1:])
    if token[0] == "{":
        return Leaf("expression", token[1:-1])
    return Leaf("int" if token.lstrip("-").isdigit() else "value", token)


def idioms() -> Iterator[str]:
    """The left side of each row, as text; of one about a truth, as the condition of a select."""
    for text, form in ((RULES, "{} {}"), (TRUTHS, "select ({} {}), a, b")):
        for line in text.strip().splitlines():
            match = _ROW.fullmatch(line.strip())
            if match is not None:
                yield form.format(match[2], match[3])


def opcodes(rule: Rule) -> tuple[str, ...]:
    """Names of the opcodes that the rule looks for."""
    found = [*rule.roots]
    work = [*rule.left]
    while work:
        term = work.pop()
        if isinstance(term, Node):
            found.append(term.opcode)
            work += term.args
    return tuple(found)


ALGEBRA: Final = parse_rules(RULES, 0)
TRUTH: Final = parse_rules(TRUTHS, len(ALGEBRA))


def _orders(args: tuple[Term, ...], commutes: bool) -> Iterator[tuple[Term, ...]]:
    """``args`` in every order of operands that commutative opcodes allow, the given one first."""
    rests: list[tuple[Term, ...]] = [()]
    for arg in args:
        choices: list[Term] = [arg]
        if isinstance(arg, Node):
            inner = opcode_named(arg.opcode).commutes
            choices = [replace(arg, args=order) for order in _orders(arg.args, inner)]
        rests = [(*rest, choice) for rest in rests for choice in choices]
    for rest in rests:
        yield rest
        if commutes and rest[0] != rest[1]:
            yield rest[::-1]


class _Compiler:
    """Compiles rules to the body of one function."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"INVERT": INVERTED, "SWAP": SWAPPED, "power": _power}
        self.lines: list[str] = []
        self.bound: dict[str, str] = {}
        self.nodes = 0

    def add(self, rule: Rule, root: str) -> None:
        for order in _orders(rule.left, opcode_named(root).commutes):
            self.bound.clear()
            self.nodes = 0
            self.lines.append("    while True:")
            self._match("args", order)
            if rule.when:
                self._put(f"if not ({self._expression(rule.when)}): break")
            self._put(f"hits.add({rule.number})")
            self._rewrite(rule, root)

    def _put(self, line: str) -> None:
        self.lines.append("        " + line)

    def _match(self, of: str, args: tuple[Term, ...]) -> None:
        for place, arg in enumerate(args):
            value = f"{of}[{place}]"
            if isinstance(arg, Node):
                self.nodes += 1
                inst = f"i{self.nodes}"
                self._put(f"{inst} = defs.get({value})")
                self._put(
                    f"if {inst} is None or {inst}.op is not {self._opcode(arg.opcode)}: break"
                )
                if arg.opcode == "icmp" and "cc1" not in self.bound:
                    self.bound["cc1"] = f"{inst}.keyword"
                self._match(f"{inst}.args", arg.args)
            elif arg.kind == "const":
                self._put(f"{arg.text} = consts.get({value})")
                self._put(f"if {arg.text} is None: break")
            elif arg.kind == "int":
                self._put(f"if consts.get({value}) != {arg.text} & types[{value}].mask: break")
            elif arg.text in self.bound:
                self._put(f"if {value} != {self.bound[arg.text]}: break")
            else:
                self.bound[arg.text] = value

    def _opcode(self, name: str) -> str:
        self.names[f"OP_{name}"] = opcode_named(name)
        return f"OP_{name}"

    def _expression(self, text: str) -> str:
        text = re.sub(r"\bbits\((\w+)\)", lambda m: f"types[{self.bound[m[1]]}].bits", text)
        return re.sub(r"\bcc1\b", lambda _: self.bound["cc1"], text)

    def _rewrite(self, rule: Rule, root: str) -> None:
        right = rule.right
        if isinstance(right, Node):
            op, type_, args, keyword = self._made(right, root)
            self._put(f"opt.become(inst, {op}, {type_}, {args}, {keyword})")
        elif right.kind == "expression":
            self._put(f"opt.constant(inst, int({self._expression(right.text)}))")
        else:
            self._put(f"opt.same(inst, {self.bound[right.text]})")
        self._put("return True")

    def _made(self, node: Node, root: str) -> tuple[str, str, str, str]:
        """Opcode, type, operands and condition of an instruction on the right."""
        name = node.opcode or root
        type_ = "T"
        if name == "icmp" and isinstance(node.args[0], Leaf):
            type_ = f"types[{self.bound[node.args[0].text]}]"
        args = "".join(f"{self._operand(arg, root, type_)}, " for arg in node.args)
        return self._opcode(name), type_, f"({args})", self._expression(node.keyword) or "''"

    def _operand(self, arg: Term, root: str, type_: str) -> str:
        if isinstance(arg, Node):
            return f"opt.made({', '.join(self._made(arg, root))})"
        if arg.kind == "expression":
            return f"opt.constant_of({type_}, {self._expression(arg.text)})"
        return self.bound[arg.text]

    def compile(self, head: list[str], tail: str) -> Callable[..., Any]:
        source = "\n".join([*head, *self.lines, f"    return {tail}"])
        exec(compile(source, "<rules of the optimiser>", "exec"), self.names)
        made: Callable[..., Any] = self.names["rewrite"]  # type: ignore[assignment]  # made by the line above
        return made


def _power(k: int) -> bool:
    """Is ``k`` a power of two above 1?"""
    return k > 1 and not k & (k - 1)


_HEAD: Final = [
    "    consts, defs, types, hits = opt.consts, opt.defs, opt.types, opt.hits",
    "    args = inst.args",
]

Rewrite = Callable[["Simplifier", Inst], bool]
"""Rewrites an instruction by the first rule that fits; was there one?"""
Truth = Callable[["Simplifier", Inst], Value]
"""A value that is 0 whenever the only result of an instruction is 0, and otherwise not; -1 if no rule fits."""


def compile_rewrites() -> dict[Opcode, Rewrite]:
    """The rules that rewrite instructions, by root."""
    compilers: dict[str, _Compiler] = {}
    for rule in ALGEBRA:
        for root in rule.roots:
            compilers.setdefault(root, _Compiler()).add(rule, root)
    head = ["def rewrite(opt, inst):", *_HEAD, "    T, cc = inst.type, inst.keyword",
            "    B, MASK, MIN = T.bits, T.mask, T.sign"]  # fmt: skip
    return {opcode_named(root): each.compile(head, "False") for root, each in compilers.items()}


def compile_truths() -> dict[Opcode, Truth]:
    """The rules for conditions, by the opcode that defines the condition."""
    compilers: dict[str, _Compiler] = {}
    for rule in TRUTH:
        for root in rule.roots:
            compiler = compilers.setdefault(root, _Truths())
            compiler.add(rule, root)
    head = ["def rewrite(opt, inst):", *_HEAD, "    cc = inst.keyword"]
    return {opcode_named(root): each.compile(head, "-1") for root, each in compilers.items()}


class _Truths(_Compiler):
    def _rewrite(self, rule: Rule, root: str) -> None:
        assert isinstance(rule.right, Leaf)
        self._put(f"return {self.bound[rule.right.text]}")
