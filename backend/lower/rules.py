"""Lowering rules: one row a way to turn CLIF into machine instructions. First match wins.

A rule is a pattern (:mod:`backend.lower.patterns`), a condition on what it bound, and the instructions to emit::

    rule("iadd_imm", "iadd x, #k", "add_ri.R d, x, {k}", when="is_add_imm(k)", group="immediate")

**What to emit** is a line an instruction: the row's name and its operands in the row's order. ``.R`` in a row's name is
``.w`` or ``.x`` by the width of T, ``$M`` is looked up for the opcode and type. An operand is

=============  ======================================================================================
``x``          a register that the pattern bound
``d`` ``d2``   the first, the second result
``t`` ``f0``   ``t``, ``t0`` .. ``t9``: a new integer register; ``f0`` .. ``f9``: a new float register
``{expr}``     a Python expression over bound constants, ``cc`` (the root's condition code), ``imm`` (its
               offset), ``B`` (bits of T), ``RB`` (bits of its register: 32 or 64), ``MASK`` (of T),
               ``bits(x)`` (width of what x bound), ``fuses(c)`` (is it an icmp of one use), ``i1`` ``i2`` ..
               (the inner instructions), ``$S`` (as ``$M``) and the ISA's names
``=expr``      the constant that the expression gives, in a register of RB bits (``=64:expr``: of 64)
``zr``         a register that the ISA names
``then``       the block of the first edge; ``else``: of the second
``!code``      where to go to trap with that code (``!inst``: with the instruction's own)
``trap``       the number of the trap code in the instruction's memory flags, -1 for none
=============  ======================================================================================

A line ``-> expr`` gives the result of a rule that makes a condition. Instead of lines, ``emit`` may be a
function of (lowering, instruction, everything bound, in order).

**Roots that are no opcodes.** ``cmp``: an icmp wanted as a machine condition. ``nz``: a value wanted as the
condition that it is not 0. ``const``: a constant ``k`` wanted in a register of RB bits.

A rule is compiled to one function a type, when it is first tried. A group can be switched off, to
reach the more general rules behind its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from backend.ir.opcodes import TRAP_CODES, Opcode, find_opcode
from backend.ir.types import I64, Type, type_named
from backend.lower.patterns import Leaf, Node, differ, leaves, orders, parse_pattern
from backend.machine.rows import RowTable
from backend.machine.vcode import MInst

TRAP_NUMBER: Final = {code: number for number, code in enumerate(TRAP_CODES)}
ALL: Final = "i8 i16 i32 i64"
NARROW: Final = "i8 i16"
WIDE: Final = "i32 i64"
_ROOTS: Final = ("cmp", "nz", "const")
_TEMP: Final = re.compile(r"[tf]\d?")

Emit = Callable[..., None]
Matcher = Callable[..., Any]
"""Tries a rule: (lowering, instruction) -> bool; ``cmp`` -> condition or -1; ``nz``: (lowering, value) -> condition or
-1; ``const``: (lowering, k, register) -> bool."""


class Rule:
    """One row. ``index`` is its number, ``types`` the T it is for (names), ``second`` the S or "" for any."""

    __slots__ = ("emit", "group", "index", "name", "pattern", "second", "text", "types", "when")

    def __init__(
        self, index: int, name: str, text: str, emit: str | Emit, types: str, second: str, when: str,
        group: str,
    ) -> None:  # fmt: skip
        self.index = index
        self.name = name
        self.text = text
        self.pattern = parse_pattern(text)
        self.emit = emit
        self.types = tuple(types.split())
        self.second = second
        self.when = when
        self.group = group

    def __repr__(self) -> str:
        return f"<rule {self.index} {self.name}: {self.text}>"


class Matchers(dict[int, list[Matcher]]):
    """Matchers by key, each list compiled when it is first asked for; ``wanted`` says from what."""

    def __init__(self, wanted: dict[int, list[Callable[[], Matcher]]]) -> None:
        super().__init__()
        self.wanted = wanted

    def __missing__(self, key: int) -> list[Matcher]:
        made = self[key] = [compile_() for compile_ in self.wanted.get(key, ())]
        return made


class Dispatch:
    """The rules in force. Keys of ``insts``: :func:`key`; of ``compares`` and ``nonzero``: T's index; of
    ``constants``: the register's width. ``fusion``: may an icmp be made where it is used?"""

    __slots__ = ("compares", "constants", "fusion", "insts", "nonzero")

    def __init__(self, fusion: bool) -> None:
        self.fusion = fusion
        self.insts = Matchers({})
        self.compares = Matchers({})
        self.nonzero = Matchers({})
        self.constants = Matchers({})

    def all(self) -> list[Matchers]:
        return [self.insts, self.compares, self.nonzero, self.constants]


def key(op: Opcode, type_: Type | None, second: Type | None) -> int:
    """The key of an opcode at T and S. S counts only for opcodes where :func:`by_second` says so."""
    return (op.index << 16 | (0 if type_ is None else type_.index + 1) << 8
            | (0 if second is None else second.index + 1))  # fmt: skip


def by_second(op: Opcode) -> bool:
    """Do this opcode's rules depend on S besides T? Only where S is all that the instruction is about."""
    return op.name in ("uextend", "sextend", "ireduce")


class RuleSet:
    """An ISA's rules, in order.

    ``names``: what expressions may use, and registers by name. ``memory``: for ``$M`` and ``$S``, by (opcode's
    name, type's name). ``swap``: the condition with its operands exchanged.
    """

    def __init__(
        self,
        table: RowTable,
        names: Mapping[str, object],
        swap: Mapping[str, str],
        substitutes: Mapping[tuple[str, str], Mapping[str, str]],
    ) -> None:
        self.table = table
        self.names = dict(names)
        self.swap = dict(swap)
        self.substitutes = substitutes
        self.rules: list[Rule] = []
        self._dispatches: dict[str, Dispatch] = {}
        #: shared by all dispatches: a disabled group changes which rules are tried, not what they do
        self._compiled: dict[tuple[int, str, str], Matcher] = {}

    def rule(
        self,
        name: str,
        pattern: str,
        emit: str | Emit,
        *,
        types: str = ALL,
        second: str = "",
        when: str = "",
        group: str = "",
    ) -> None:
        """Append a rule. ValueError if the name is taken or the pattern is none."""
        if any(rule.name == name for rule in self.rules):
            raise ValueError(f"two rules are called {name}")
        self.rules.append(
            Rule(len(self.rules), name, pattern, emit, types, second, when, group)
        )  # fmt: skip

    def dispatch(self, disabled: str = "") -> Dispatch:
        """The compiled rules without the group ``disabled``."""
        found = self._dispatches.get(disabled)
        if found is None:
            found = self._dispatches[disabled] = self._compile(disabled)
        return found

    def recompile(self) -> None:
        """Forget what was compiled: a rule was changed."""
        self._dispatches.clear()
        self._compiled.clear()

    def compile_all(self) -> int:
        """Compile every rule now; how many matchers there are. ValueError for a rule that is wrong."""
        tables = self.dispatch().all()
        return sum(len(table[at]) for table in tables for at in table.wanted)

    def groups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rule.group for rule in self.rules if rule.group))

    def supports(self, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        """Is there a rule for ``op`` at T = ``type_`` and S = ``second``?"""
        if op.operands[:1] == ("S",) and not op.over:
            type_, second = second, None
        if second is not None and not by_second(op):
            if second not in (*_int_types(),):
                return False
            second = None
        return key(op, type_, second) in self.dispatch().insts.wanted

    def _compile(self, disabled: str) -> Dispatch:
        made = Dispatch(fusion=disabled != "fusion")
        for rule in self.rules:
            if disabled and rule.group == disabled:
                continue
            for root in rule.pattern.roots:
                self._enter(made, rule, root)
        return made

    def _enter(self, made: Dispatch, rule: Rule, root: str) -> None:
        if root in _ROOTS:
            table = {"cmp": made.compares, "nz": made.nonzero, "const": made.constants}[root]
            for name in rule.types:
                type_ = type_named(name)
                at = type_.bits if root == "const" else type_.index
                self._want(table, at, rule, root, None, type_)
            return
        op = find_opcode(root)
        if op is None:
            raise ValueError(f"{rule.name}: no opcode {root}")
        if not op.over and op.operands[:1] != ("S",):
            self._want(made.insts, key(op, None, None), rule, root, op, I64)
            return
        second = type_named(rule.second) if rule.second else None
        for name in rule.types:
            type_ = type_named(name)
            if (
                (op.over and type_ not in op.over)
                or second is type_
                or self._lacks(rule, root, name)
            ):
                continue
            self._want(made.insts, key(op, type_, second), rule, root, op, type_)

    def _want(
        self, table: Matchers, at: int, rule: Rule, root: str, op: Opcode | None, type_: Type
    ) -> None:
        compiled = self._compiled

        def compile_() -> Matcher:
            known = (rule.index, root, type_.name)
            if known not in compiled:
                compiled[known] = _Compiler(self, rule, root, op, type_).compile()
            return compiled[known]

        table.wanted.setdefault(at, []).append(compile_)

    def _lacks(self, rule: Rule, root: str, type_name: str) -> bool:
        """Has the machine no such instruction as ``$M...`` for this opcode and type?"""
        if not isinstance(rule.emit, str) or "$M" not in rule.emit:
            return False
        known = self.substitutes.get((root, type_name))
        return known is None or any(
            line.split()[0].replace("$M", known["M"]) not in self.table
            for line in rule.emit.split(";")
            if "$M" in line
        )


def _int_types() -> tuple[Type, ...]:
    return tuple(type_named(name) for name in ALL.split())


class _Compiler:
    """Compiles one rule for one opcode and type into a Python function."""

    def __init__(
        self, rules: RuleSet, rule: Rule, root: str, op: Opcode | None, type_: Type
    ) -> None:
        self.rules = rules
        self.rule = rule
        self.root = root
        self.op = op
        self.type = type_
        bits = type_.bits
        self.width = 64 if bits == 64 else 32
        self.names: dict[str, object] = {
            **rules.names, "MInst": MInst, "TRAP_NUMBER": TRAP_NUMBER, "SWAP": rules.swap,
            "B": bits, "RB": self.width, "MASK": type_.mask,
        }  # fmt: skip
        self.substitutes: Mapping[str, str] = rules.substitutes.get((root, type_.name), {})
        self.lines: list[str] = []
        self.nodes = 0
        #: SSA value's variable of each name bound to a register, a condition or a value
        self.values: dict[str, str] = {}
        self.failure = "-1" if root in ("cmp", "nz") else "False"

    def compile(self) -> Matcher:
        parameters = {"nz": "low, value", "const": "low, k, d"}.get(self.root, "low, inst")
        self.lines = [f"def match({parameters}):"]
        self._put("consts = low.consts; defs = low.defs; counts = low.counts; out = low.out")
        if self.root == "nz":
            self._put("args = (value,)")
        elif self.root != "const":
            self._put("args = inst.args")
        pattern = self.rule.pattern.args
        for order in orders(pattern, self.op is not None and self.op.commutes):
            self._variant(order, False)
            if self.root == "cmp" and differ(*order):
                self._variant(order[::-1], True)
        self._put(f"return {self.failure}")
        source = "\n".join(self.lines)
        exec(
            compile(source, f"<rule {self.rule.name} of {self.root}.{self.type}>", "exec"),
            self.names,
        )
        matcher: Matcher = self.names["match"]  # type: ignore[assignment]  # made by the line above
        return matcher

    def _put(self, line: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + line)

    def _variant(self, args: tuple[Leaf | Node, ...], swapped: bool) -> None:
        self.values.clear()
        self.nodes = 0
        self._put("for _ in ONCE:")
        self.names["ONCE"] = (0,)
        self._match("args", args)
        texts = self.rule.when + (self.rule.emit if isinstance(self.rule.emit, str) else "")
        if self.root == "cmp":
            self._put("cc = SWAP[inst.keyword]" if swapped else "cc = inst.keyword", 2)
        elif re.search(r"\bcc\b", texts):
            self._put("cc = inst.keyword", 2)
        if re.search(r"\bimm\b", texts):
            self._put("imm = inst.imm", 2)
        if self.rule.when:
            self._put(f"if not ({self._expression(self.rule.when)}): break", 2)
        if isinstance(self.rule.emit, str):
            self._emit_lines(self.rule.emit, args)
        else:
            self._call(self.rule.emit, args)

    # ---- matching

    def _match(self, args_name: str, args: Sequence[Leaf | Node]) -> None:
        for i, arg in enumerate(args):
            value = f"{args_name}[{i}]"
            if isinstance(arg, Node):
                self._match_node(value, arg)
            elif arg.kind == "const":
                self._put(f"{arg.name} = consts.get({value})", 2)
                self._put(f"if {arg.name} is None: break", 2)
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
        self._put(f"{name} = defs.get({value})", 2)
        self._put(f"if {name} is None or {name}.op is not {op} or counts[{value}] != 1: break", 2)
        self._match(f"{name}.args", node.args)

    def _expression(self, text: str) -> str:
        text = self._substitute(text)
        text = re.sub(r"\bfuses\((\w+)\)", lambda m: f"low.fuses({self.values[m[1]]})", text)
        return re.sub(r"\bbits\((\w+)\)", lambda m: f"low.types[{self.values[m[1]]}].bits", text)

    def _substitute(self, text: str) -> str:
        for name, value in self.substitutes.items():
            text = text.replace("$" + name, value)
        return text.replace(".R", ".x" if self.width == 64 else ".w")

    # ---- emitting

    def _register(self, leaf: Leaf) -> str:
        """The call that puts what ``leaf`` bound in a register, extended as it says."""
        value = self.values[leaf.register or leaf.name]
        if leaf.extend and self.type.bits < 32:
            return f"low.extended({value}, {self.type.bits}, {leaf.extend == 's'})"
        return f"low.use({value})"

    def _call(self, emit: Emit, args: tuple[Leaf | Node, ...]) -> None:
        self.names["emit"] = emit
        given = {"const": ["low", "k", "d"], "nz": ["low", "value"]}.get(self.root, ["low", "inst"])
        for leaf in leaves(args):
            if leaf.kind == "value":
                given.append(self.values[leaf.name])
            elif leaf.kind == "cond":
                given.append(self._condition(leaf))
            else:
                given.append(leaf.name if leaf.kind == "const" else self._register(leaf))
        self._put(f"low.hits.add({self.rule.index})", 2)
        self._put(f"emit({', '.join(given)})", 2)
        self._put("return True", 2)

    def _condition(self, leaf: Leaf) -> str:
        if self.root == "icmp":
            return "low.compare(inst)"
        return f"low.condition({self.values[leaf.name]})"

    def _emit_lines(self, text: str, args: tuple[Leaf | Node, ...]) -> None:
        lines = [line.strip() for line in self._substitute(text).split(";") if line.strip()]
        operands = [_split_operands(line) for line in lines if not line.startswith("->")]
        used = {operand for _, line in operands for operand in line}
        joined = " ".join(lines)
        for leaf in leaves(args):
            name = leaf.register if leaf.kind == "const" else leaf.name
            if leaf.kind != "cond" and name and name in used:
                self._put(f"{name} = {self._register(leaf)}", 2)
        constants: dict[str, str] = {}
        for operand in sorted(o for o in used if o[0] == "="):
            width, _, expression = operand[1:].rpartition(":")
            name = constants[operand] = f"c{len(constants)}"
            self._put(
                f"{name} = low.constant({self._expression(expression)}, {width or self.width})", 2
            )
        for leaf in leaves(args):
            if leaf.kind == "cond":
                self._put(f"{leaf.name} = {self._condition(leaf)}", 2)
        self._bind_implicit(used, joined)
        result = "True"
        for line in lines:
            if line.startswith("->"):
                result = self._expression(line[2:].strip())
        for row_name, line_operands in operands:
            self._emit_one(row_name, line_operands, constants)
        self._put(f"low.hits.add({self.rule.index})", 2)
        self._put(f"return {result}", 2)

    def _bind_implicit(self, used: set[str], joined: str) -> None:
        """Names that a template uses without a pattern having bound them."""
        if "d" in used and self.root != "const":
            self._put("d = low.result(inst.results[0])", 2)
        if "d2" in used:
            self._put("d2 = low.result(inst.results[1])", 2)
        for name in sorted(used):
            if _TEMP.fullmatch(name) and name not in self.values:
                self._put(f"{name} = low.temp({int(name[0] == 'f')})", 2)
        if "trap" in used:
            self._put("trap = -1 if inst.flags.trap is None else TRAP_NUMBER[inst.flags.trap]", 2)
        if "then" in used:
            self._put("then = low.edge(inst.targets[0])", 2)
        if "else" in used:
            self._put("other = low.edge(inst.targets[1])", 2)
        if "!inst" in used or "code" in joined:
            self._put("code = TRAP_NUMBER[inst.keyword]", 2)

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
        self._put(f"out.append(MInst({tag}, [{', '.join(ops)}]{extra}))", 2)


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
