"""All rules of one opcode at one type, compiled to one Python function that tries them in order.

Each rule becomes a block that is left with ``break`` as soon as it does not fit, and with ``return`` once
it has emitted; a commutative pattern becomes a block an order of its operands. What several rules ask about an
operand (is it a constant, which instruction made it) is looked up once, before the first block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from backend.ir.opcodes import TRAP_CODES, Opcode
from backend.ir.types import Type
from backend.lower.patterns import Leaf, Node, differ, leaves, orders
from backend.machine.vcode import MInst

if TYPE_CHECKING:
    from backend.lower.rules import Rule, RuleSet

TRAP_NUMBER: Final = {code: number for number, code in enumerate(TRAP_CODES)}
_TEMP: Final = re.compile(r"[tf]\d*")
_TRAP: Final = re.compile(r"trap(\d*)")

Emit = Callable[..., None]
Wanted = tuple["Rule", str, "Opcode | None", Type]
"""A rule, the root it is wanted for, that root's opcode, T."""
Matcher = Callable[..., Any]
"""Tries rules: (lowering, instruction) -> bool; ``cmp`` -> condition or -1; ``nz``: (lowering, value) -> condition or
-1; ``const``: (lowering, k, register) -> bool."""


FAILURE: Final = {"cmp": -1, "nz": -1}
"""What a matcher returns when no rule fits, by root; False for the others."""


def compile_matcher(rules: RuleSet, wanted: Sequence[Wanted]) -> Matcher:
    """The function that tries ``wanted``, which agree in root and type. ValueError for a rule that is wrong."""
    _, root, op, type_ = wanted[0]
    compiler = _Compiler(rules, root, op, type_)
    for rule, *_ in wanted:
        compiler.add(rule)
    return compiler.compile()


class _Compiler:
    """Compiles rules for one root and type."""

    def __init__(self, rules: RuleSet, root: str, op: Opcode | None, type_: Type) -> None:
        self.rules = rules
        self.root = root
        self.op = op
        self.type = type_
        bits = type_.bits
        self.width = 64 if bits >= 64 else 32
        self.names: dict[str, object] = {
            **rules.names, "MInst": MInst, "TRAP_NUMBER": TRAP_NUMBER, "SWAP": rules.swap,
            "B": bits, "RB": self.width, "MASK": type_.mask,
        }  # fmt: skip
        self.substitutes: Mapping[str, str] = rules.substitutes.get((root, type_.name), {})
        self.lines: list[str] = []
        self.nodes = 0
        #: variables of the inner instructions that are loads
        self.sinking: list[str] = []
        #: SSA value's variable of each name bound to a register, a condition or a value
        self.values: dict[str, str] = {}

    def add(self, rule: Rule) -> None:
        """Try ``rule`` after those added before."""
        self.rule = rule
        pattern = rule.pattern.args
        for order in orders(pattern, self.op is not None and self.op.commutes):
            self._variant(order, False)
            if self.root == "cmp" and differ(*order):
                self._variant(order[::-1], True)

    def compile(self) -> Matcher:
        body = "\n".join(self.lines)
        parameters = {"nz": "low, value", "const": "low, k, d"}.get(self.root, "low, inst")
        head = [f"def match({parameters}):"]
        if self.root != "const":
            head.append("    args = " + ("(value,)" if self.root == "nz" else "inst.args"))
        for what, of in (("known", "consts"), ("inner", "defs")):
            places = sorted(set(re.findall(rf"\b{what}(\d+)\b", body)))
            head += [f"    {what}{place} = {of}.get(args[{place}])" for place in places]
        used = "\n".join([*head, body])
        head[1:1] = [f"    {name} = low.{name}" for name in ("consts", "defs", "counts", "out")
                     if re.search(rf"(?<!low\.)\b{name}\b", used)]  # fmt: skip
        source = "\n".join([*head, body, f"    return {FAILURE.get(self.root, False)}"])
        exec(compile(source, f"<rules of {self.root}.{self.type}>", "exec"), self.names)
        matcher: Matcher = self.names["match"]  # type: ignore[assignment]  # made by the line above
        return matcher

    def _put(self, line: str) -> None:
        self.lines.append("        " + line)

    def _variant(self, args: tuple[Leaf | Node, ...], swapped: bool) -> None:
        self.values.clear()
        self.sinking.clear()
        self.nodes = 0
        rule = self.rule
        self.lines.append("    while True:")
        self._match("args", args)
        texts = rule.when + (rule.emit if isinstance(rule.emit, str) else "")
        if self.root == "cmp":
            self._put("cc = SWAP[inst.keyword]" if swapped else "cc = inst.keyword")
        elif re.search(r"\bcc\b", texts):
            self._put("cc = inst.keyword")
        if re.search(r"(?<!\.)\bimm\b", texts):
            self._put("imm = inst.imm")
        if rule.when:
            self._put(f"if not ({self._expression(rule.when)}): break")
        for load in self.sinking:
            self._put(f"if not low.sinks({load}): break")
        for load in self.sinking:
            self._put(f"low.sunk[{load}.results[0]] = low.origin")
        if isinstance(rule.emit, str):
            self._emit_lines(rule.emit, args)
        else:
            self._call(rule.emit, args)

    # ---- matching

    def _match(self, args_name: str, args: Sequence[Leaf | Node]) -> None:
        for i, arg in enumerate(args):
            value = f"{args_name}[{i}]"
            if isinstance(arg, Node):
                self._match_node(value, arg)
            elif arg.name in self.values:
                self._put(f"if {value} != {self.values[arg.name]}: break")
            elif arg.kind == "const":
                self._put(f"{arg.name} = {self._lookup('known', 'consts', value)}")
                self._put(f"if {arg.name} is None: break")
                self.values[arg.name] = value
                if arg.register:
                    self.values[arg.register] = value
            else:
                self.values[arg.name] = value

    def _match_node(self, value: str, node: Node) -> None:
        self.nodes += 1
        name = f"i{self.nodes}"
        op = f"OP_{node.op.name}"
        self.names[op] = node.op
        self._put(f"{name} = {self._lookup('inner', 'defs', value)}")
        self._put(f"if {name} is None or {name}.op is not {op} or counts[{value}] != 1: break")
        if node.sinks:
            self.sinking.append(name)
        self._match(f"{name}.args", node.args)

    @staticmethod
    def _lookup(shared: str, table: str, value: str) -> str:
        """What ``table`` says of a value: a variable for the root's own operands."""
        place = re.fullmatch(r"args\[(\d+)\]", value)
        return f"{table}.get({value})" if place is None else shared + place[1]

    def _expression(self, text: str) -> str:
        text = self._substitute(text)
        text = re.sub(r"\bfuses\((\w+)\)", lambda m: f"low.fuses({self.values[m[1]]})", text)
        text = re.sub(r"\bconstant\((\w+)\)", lambda m: f"({self.values[m[1]]} in consts)", text)
        return re.sub(r"\bbits\((\w+)\)", lambda m: f"low.types[{self.values[m[1]]}].bits", text)

    def _substitute(self, text: str) -> str:
        for name, value in self.substitutes.items():
            text = text.replace("$" + name, value)
        for placeholder, sizes in self.rules.sizes.items():
            if placeholder in text:
                text = text.replace(placeholder, sizes[self.type.bits])
        return text

    # ---- emitting

    def _register(self, leaf: Leaf) -> str:
        """The call that puts what ``leaf`` bound in a register, extended as it says."""
        value = self.values[leaf.register or leaf.name]
        if leaf.extend and self.type.bits < 32:
            return f"low.extended({value}, {self.type.bits}, {leaf.extend == 's'})"
        return f"low.use({value})"

    def _call(self, emit: Emit, args: tuple[Leaf | Node, ...]) -> None:
        name = f"emit{self.rule.index}"
        self.names[name] = emit
        given = {"const": ["low", "k", "d"], "nz": ["low", "value"]}.get(self.root, ["low", "inst"])
        for leaf in leaves(args):
            if leaf.kind == "value":
                given.append(self.values[leaf.name])
            elif leaf.kind == "cond":
                given.append(self._condition(leaf))
            else:
                given.append(leaf.name if leaf.kind == "const" else self._register(leaf))
        self._put(f"low.hits.add({self.rule.index})")
        self._put(f"{name}({', '.join(given)})")
        self._put("return True")

    def _condition(self, leaf: Leaf) -> str:
        if self.root in ("icmp", "fcmp"):
            return "low.compare(inst)"
        return f"low.condition({self.values[leaf.name]})"

    def _emit_lines(self, text: str, args: tuple[Leaf | Node, ...]) -> None:
        lines = [line.strip() for line in self._substitute(text).split(";") if line.strip()]
        operands = [_split_operands(line) for line in lines if not line.startswith("->")]
        used = {operand.rstrip("'") for _, line in operands for operand in line}
        joined = " ".join(lines)
        for leaf in leaves(args):
            name = leaf.register if leaf.kind == "const" else leaf.name
            if leaf.kind != "cond" and name and name in used:
                self._put(f"{name} = {self._register(leaf)}")
        constants: dict[str, str] = {}
        for operand in sorted(o for o in used if o[0] == "="):
            width, _, expression = operand[1:].rpartition(":")
            name = constants[operand] = f"c{len(constants)}"
            self._put(
                f"{name} = low.constant({self._expression(expression)}, {width or self.width})"
            )
        for leaf in leaves(args):
            if leaf.kind == "cond":
                self._put(f"{leaf.name} = {self._condition(leaf)}")
        self._bind_implicit(used, joined)
        result = "True"
        for line in lines:
            if line.startswith("->"):
                result = self._expression(line[2:].strip())
        for row_name, line_operands in operands:
            self._emit_one(row_name, line_operands, constants)
        self._put(f"low.hits.add({self.rule.index})")
        self._put(f"return {result}")

    def _bind_implicit(self, used: set[str], joined: str) -> None:
        """Names that a template uses without a pattern having bound them."""
        if "d" in used and self.root != "const":
            self._put("d = low.result(inst.results[0])")
        if "d2" in used:
            self._put("d2 = low.result(inst.results[1])")
        for name in sorted(used):
            if _TEMP.fullmatch(name) and name not in self.values:
                self._put(f"{name} = low.temp({int(name[0] == 'f')})")
        for name in sorted(used):
            if found := _TRAP.fullmatch(name):
                flags = f"i{found[1]}.flags" if found[1] else "inst.flags"
                self._put(f"{name} = -1 if {flags}.trap is None else TRAP_NUMBER[{flags}.trap]")
        if "then" in used:
            self._put("then = low.edge(inst.targets[0])")
        if "else" in used:
            self._put("other = low.edge(inst.targets[1])")
        if "!inst" in used or "code" in joined:
            self._put("code = TRAP_NUMBER[inst.keyword]")

    def _emit_one(self, row_name: str, operands: list[str], constants: dict[str, str]) -> None:
        row = self.rules.table[row_name]
        if len(operands) != len(row.fields):
            raise ValueError(f"{self.rule.name}: {row_name} takes {len(row.fields)} operands")
        ops: list[str] = []
        fixed: list[object] = []
        for operand in operands:
            literal = self.names.get(f"register {operand}")
            fixed.append(literal)
            if literal is not None:
                ops.append(str(literal))
            elif operand[0] == "=":
                ops.append(constants[operand])
            elif operand[0] == "{":
                ops.append(f"({self._expression(operand[1:-1])})")
            elif operand == "!inst":
                ops.append("-1 - code")
            elif operand[0] == "!":
                ops.append(str(-1 - TRAP_NUMBER[operand[1:]]))
            elif operand[-1] == "'":
                ops.append(operand[:-1] + " + 1")
            else:
                ops.append("other" if operand == "else" else operand)
        tag = f"row{row.index}"
        self.names[tag] = row
        if any(literal is not None for literal in fixed):
            shape = f"operands{row.index}_{len(self.names)}"
            self.names[shape] = row.operands_without(fixed)
            extra = f", {shape}, 0, low.origin"
        else:
            extra = ", None, 0, low.origin"
        self._put(f"out.append(MInst({tag}, [{', '.join(ops)}]{extra}))")


def _split_operands(line: str) -> tuple[str, list[str]]:
    """Row name and operands; commas inside braces or parentheses do not separate."""
    name, _, rest = line.partition(" ")
    operands: list[str] = []
    depth = 0
    for character in rest:
        if character == "," and not depth:
            operands.append("")
            continue
        depth += (character in "{(") - (character in "})")
        if not operands:
            operands.append("")
        operands[-1] += character
    return name, [operand.strip() for operand in operands]
