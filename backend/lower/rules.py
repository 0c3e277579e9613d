"""Lowering rules: one row a way to turn CLIF into machine instructions. First match wins.

A rule is a pattern (:mod:`backend.lower.patterns`), a condition on what it bound, and the instructions to emit::

    rule("iadd_imm", "iadd x, #k", "add_ri.R d, x, {k}", when="is_add_imm(k)", group="immediate")

**What to emit** is a line an instruction: the row's name and its operands in the row's order. ``.R`` and ``.F`` in
a row's name are its size by the width of T (:data:`SIZES`, unless the ISA says otherwise), ``$M`` is looked up
for the opcode and type. An operand is

=============  ======================================================================================
``x``          a register that the pattern bound
``d`` ``d2``   the first, the second result
``x'`` ``d'``  the upper half of what is an i128, whose lower half is ``x``
``t`` ``f0``   ``t``, ``t0``, ``t1`` ..: a new integer register; ``f0`` ..: a new float register
``{expr}``     a Python expression over bound constants, ``cc`` (the root's condition code), ``imm`` (its
               offset or constant), ``B`` (bits of T), ``RB`` (bits of its register: 32 or 64), ``MASK`` (of T),
               ``bits(x)`` (width of what x bound), ``constant(x)`` (is it one), ``fuses(c)`` (is it a comparison
               of one use), ``i1`` ``i2`` .. (the inner instructions), ``$S`` (as ``$M``) and the ISA's names
``=expr``      the constant that the expression gives, in a register of RB bits (``=64:expr``: of 64)
``zr``         a register that the ISA names
``then``       the block of the first edge; ``else``: of the second
``!code``      where to go to trap with that code (``!inst``: with the instruction's own)
``trap``       the number of the trap code in the instruction's memory flags, -1 for none; ``trap1``: in those
               of ``i1``
=============  ======================================================================================

A line ``-> expr`` gives the result of a rule that makes a condition. Instead of lines, ``emit`` may be a
function of (lowering, instruction, everything bound, in order).

**Roots that are no opcodes.** ``cmp``: an icmp or fcmp wanted as a machine condition. ``nz``: a value wanted as the
condition that it is not 0. ``const``: a constant ``k`` wanted in a register of RB bits.

All rules of an opcode at a type are compiled to one function, when it is first needed
(:mod:`backend.lower.matchers`). A group can be switched off, to reach the more general rules behind its own. A rule
that ``needs`` a feature of the processor (:mod:`backend.options`) is there only with it; what an ISA supports is what
its rules lower without any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from backend.ir.opcodes import Opcode, find_opcode, second_types
from backend.ir.types import I64, I128, INTS, Type, type_named
from backend.lower.matchers import FAILURE, Emit, Matcher, Wanted, compile_matcher
from backend.lower.patterns import parse_pattern
from backend.machine.rows import RowTable
from backend.options import OPTIONS

ALL: Final = "i8 i16 i32 i64"
NARROW: Final = "i8 i16"
WIDE: Final = "i32 i64"
FLOATS: Final = "f32 f64"
SIZES: Final = {
    ".R": {8: ".w", 16: ".w", 32: ".w", 64: ".x", 128: ".x"},
    ".F": {32: ".s", 64: ".d"},
}
"""What ends a row's name, by placeholder and bits of T."""
_ROOTS: Final = ("cmp", "nz", "const")
_BY_SECOND: Final = frozenset({
    "uextend", "sextend", "ireduce", "fpromote", "fdemote", "bitcast",
    *(f"fcvt_{how}" for sign in ("uint", "sint") for how in (f"to_{sign}", f"to_{sign}_sat", f"from_{sign}")),
})  # fmt: skip


class Rule:
    """One row. ``index`` is its number, ``types`` the T it is for (names), ``second`` the S or "" for any, ``needs``
    the feature without which it does not hold, or ""."""

    __slots__ = (
        "emit",
        "group",
        "index",
        "name",
        "needs",
        "pattern",
        "second",
        "text",
        "types",
        "when",
    )

    def __init__(
        self, index: int, name: str, text: str, emit: str | Emit, types: str, second: str, when: str,
        group: str, needs: str,
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
        self.needs = needs

    def __repr__(self) -> str:
        return f"<rule {self.index} {self.name}: {self.text}>"


class Matchers(dict[int, Matcher]):
    """Matchers by key, each compiled when it is first asked for; ``wanted`` says from which rules: (rule,
    root, opcode, T)."""

    def __init__(self, rules: RuleSet, failure: int = False) -> None:
        super().__init__()
        self.rules = rules
        self.failure = failure
        self.wanted: dict[int, list[Wanted]] = {}

    def __missing__(self, key: int) -> Matcher:
        wanted = self.wanted.get(key)
        made = self[key] = (
            (lambda *_: self.failure) if wanted is None else self.rules.matcher(wanted)
        )
        return made


class Dispatch:
    """The rules in force. Keys of ``insts``: :func:`key`; of ``compares`` and ``nonzero``: T's index; of
    ``constants``: the register's width. ``fusion``: may an icmp be made where it is used?"""

    __slots__ = ("compares", "constants", "fusion", "insts", "nonzero")

    def __init__(self, rules: RuleSet, fusion: bool) -> None:
        self.fusion = fusion
        self.insts = Matchers(rules)
        self.compares = Matchers(rules, FAILURE["cmp"])
        self.nonzero = Matchers(rules, FAILURE["nz"])
        self.constants = Matchers(rules)

    def all(self) -> list[Matchers]:
        return [self.insts, self.compares, self.nonzero, self.constants]


def key(op: Opcode, type_: Type | None, second: Type | None) -> int:
    """The key of an opcode at T and S. S counts only for opcodes where :func:`by_second` says so."""
    return (op.index << 16 | (0 if type_ is None else type_.index + 1) << 8
            | (0 if second is None else second.index + 1))  # fmt: skip


def by_second(op: Opcode) -> bool:
    """Do this opcode's rules depend on S besides T? Only where S is all that the instruction is about."""
    return op.name in _BY_SECOND


class RuleSet:
    """An ISA's rules, in order.

    ``names``: what expressions may use, and registers by name. ``memory``: for ``$M`` and ``$S``, by (opcode's
    name, type's name). ``swap``: the condition with its operands exchanged. ``sizes``: as :data:`SIZES`.
    """

    def __init__(
        self,
        table: RowTable,
        names: Mapping[str, object],
        swap: Mapping[str, str],
        substitutes: Mapping[tuple[str, str], Mapping[str, str]],
        sizes: Mapping[str, Mapping[int, str]] = SIZES,
    ) -> None:
        self.table = table
        self.sizes = sizes
        self.names = dict(names)
        self.swap = dict(swap)
        self.substitutes = substitutes
        self.rules: list[Rule] = []
        self._dispatches: dict[tuple[str, tuple[str, ...]], Dispatch] = {}
        #: by root, T and rules: most functions are the same whichever group is disabled
        self._compiled: dict[tuple[object, ...], Matcher] = {}

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
        needs: str = "",
    ) -> None:
        """Append a rule. ValueError if the name is taken, the pattern is none or there is no such feature."""
        if needs and not any(row.feature and row.name == needs for row in OPTIONS):
            raise ValueError(f"{name} needs {needs}, which is no feature")
        if any(rule.name == name for rule in self.rules):
            raise ValueError(f"two rules are called {name}")
        self.rules.append(
            Rule(len(self.rules), name, pattern, emit, types, second, when, group, needs)
        )  # fmt: skip

    def dispatch(self, disabled: str = "", features: tuple[str, ...] = ()) -> Dispatch:
        """The compiled rules without the group ``disabled`` for a processor with ``features``."""
        found = self._dispatches.get((disabled, features))
        if found is None:
            found = self._dispatches[disabled, features] = self._compile(disabled, features)
        return found

    def recompile(self) -> None:
        """Forget what was compiled: a rule was changed."""
        self._dispatches.clear()
        self._compiled.clear()

    def matcher(self, wanted: list[Wanted]) -> Matcher:
        """The function that tries ``wanted`` in order."""
        _, root, _, type_ = wanted[0]
        known = (root, type_, *(rule.index for rule, *_ in wanted))
        made = self._compiled.get(known)
        if made is None:
            made = self._compiled[known] = compile_matcher(self, wanted)
        return made

    def compile_all(self) -> int:
        """Compile every rule now; how many functions there are. ValueError for a rule that is wrong."""
        needed = tuple(
            row.name for row in OPTIONS if any(rule.needs == row.name for rule in self.rules)
        )
        tables = [table for on in ((), needed) for table in self.dispatch("", on).all()]
        return sum(table[at] is not None for table in tables for at in table.wanted)

    def groups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rule.group for rule in self.rules if rule.group))

    def supports(self, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        """Is there a rule for ``op`` at T = ``type_`` and S = ``second``?"""
        if op.operands[:1] == ("S",) and not op.over:
            type_, second = second, None
        if second is not None and not by_second(op):
            if second not in INTS or (second is I128 and not self._tests_pairs):
                return False
            second = None
        return key(op, type_, second) in self.dispatch().insts.wanted

    @property
    def _tests_pairs(self) -> bool:
        """Are there rules for an i128 as a condition, and so for one that is an amount or a mask's source?"""
        return I128.index in self.dispatch().nonzero.wanted

    def _compile(self, disabled: str, features: tuple[str, ...]) -> Dispatch:
        made = Dispatch(self, fusion=disabled != "fusion")
        for rule in self.rules:
            if (disabled and rule.group == disabled) or (rule.needs and rule.needs not in features):
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
                table.wanted.setdefault(at, []).append((rule, root, None, type_))
            return
        op = find_opcode(root)
        if op is None:
            raise ValueError(f"{rule.name}: no opcode {root}")
        if not op.over and op.operands[:1] != ("S",):
            made.insts.wanted.setdefault(key(op, None, None), []).append((rule, root, op, I64))
            return
        second = type_named(rule.second) if rule.second else None
        if second is not None and op.over and op.name not in _BY_SECOND:
            raise ValueError(f"{rule.name}: rules of {root} are not looked up by S")
        for name in rule.types:
            type_ = type_named(name)
            if (
                (op.over and type_ not in op.over)
                or (second is not None and op.over and second not in second_types(op, type_))
                or self._lacks(rule, root, name)
            ):
                continue
            wanted = made.insts.wanted.setdefault(key(op, type_, second), [])
            wanted.append((rule, root, op, type_))

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
