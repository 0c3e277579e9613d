"""What the generator may draw: operations grouped in families, weighted, cut down to a target.

A *form* is an opcode at concrete types. Operations are drawn before their operands, from a table in
which each stands as often as its weight, simplest family first, so that shrinking an operation's
index leads to ``iadd``. Families are what swarm testing switches off (Groce et al., ISSTA 2012).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from itertools import chain, groupby
from typing import Final

from backend.ir.entities import Inst, Value
from backend.ir.opcodes import OPCODES, Opcode, resolve, second_types
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from fuzzer.generate.idioms import Idioms

INTEGERS: Final = (I32, I64, I8, I16)
"""What every function has values of."""
WIDE: Final = (I128, F32, F64)
"""What only some functions have values of; a *group* is a set of these, as bits."""
TYPES: Final = INTEGERS + WIDE
"""Simplest first: the order in which a type's index shrinks."""

FAMILIES: Final[dict[str, dict[str, int]]] = {
    "add": {"iadd": 6, "isub": 4, "ineg": 2},
    "logic": {"band": 3, "bor": 3, "bxor": 3, "bnot": 2},
    "multiply": {"imul": 4, "umulhi": 2, "smulhi": 2},
    "shift": {"ishl": 3, "ushr": 3, "sshr": 3, "rotl": 2, "rotr": 2, "funnel": 1},
    "width": {"uextend": 3, "sextend": 3, "ireduce": 3, "bmask": 1, "iconcat": 1, "isplit": 1},
    "compare": {"icmp": 5},
    "select": {"select": 4, "bitselect": 2, "select_spectre_guard": 1},
    "minmax": {"smin": 1, "umin": 1, "smax": 1, "umax": 1, "iabs": 2},
    "bits": {"clz": 2, "ctz": 3, "cls": 1, "bitrev": 1, "bswap": 1, "popcnt": 2,
             "nop": 1},
    "overflow": {"uadd_overflow": 1, "sadd_overflow": 1, "usub_overflow": 1, "ssub_overflow": 1,
                 "umul_overflow": 1, "smul_overflow": 1, "uadd_overflow_cin": 1, "sadd_overflow_cin": 1,
                 "usub_overflow_bin": 1, "ssub_overflow_bin": 1},
    "divide": {"udiv": 2, "sdiv": 2, "urem": 2, "srem": 2},
    "trap": {"trapz": 1, "trapnz": 1, "uadd_overflow_trap": 1},
    "memory": {"load": 4, "store": 5, "uload8": 1, "sload8": 1, "uload16": 1, "sload16": 1,
               "uload32": 1, "sload32": 1, "istore8": 1, "istore16": 1, "istore32": 1, "fold": 8},
    "slot": {"stack_load": 4, "stack_store": 5},
    "flow": {"brif": 6, "br_table": 2, "loop": 4, "pressure": 1},
    "call": {"calls": 16},
    "idiom": {"idiom": 16},
    "float add": {"fadd": 5, "fsub": 4, "fneg": 3},
    "float multiply": {"fmul": 5, "fdiv": 3, "fma": 5, "sqrt": 2},
    "float sign": {"fabs": 2, "fcopysign": 3},
    "float minmax": {"fmin": 3, "fmax": 3},
    "float round": {"ceil": 2, "floor": 2, "trunc": 2, "nearest": 2},
    "float compare": {"fcmp": 7},
    "float width": {"fpromote": 2, "fdemote": 2},
    "float to int": {"fcvt_to_uint": 2, "fcvt_to_sint": 2, "fcvt_to_uint_sat": 3, "fcvt_to_sint_sat": 3},
    "float from int": {"fcvt_from_uint": 4, "fcvt_from_sint": 4},
    "float bits": {"bitcast": 5},
    "again": {"again": 6},
}  # fmt: skip
"""Weights by family. ``loop``, ``fold``, ``pressure``, ``funnel``, ``calls``, ``idiom`` and ``again`` are not opcodes
but shapes of instructions; ``stack_load`` and ``stack_store`` stand for accesses through ``stack_addr``."""

NESTED: Final = ("iadd", "ishl", "bnot", "imul", "uextend", "sextend", "ushr", "sshr", "band", "ineg",
                "rotr", "bxor", "icmp", "isub", "ishl", "uextend", "sextend",
                "fadd", "fneg", "fmul", "fneg", "fmul", "fcmp", "fcvt_from_sint", "fabs")  # fmt: skip
"""What an operand is made of when it is made for one use only: the trees that instruction selectors fold.
An opcode stands as often as its weight."""

USERS: Final = ("iadd", "isub", "band", "bor", "bxor", "imul", "icmp", "select", "uextend", "sextend",
               "fadd", "fsub", "fmul", "fdiv", "fcmp", "fpromote", "fdemote", "fcvt_from_sint",
               "fcvt_from_sint")  # fmt: skip
"""What a loaded value is used by when it is used once: the operations that may take the load into their instruction.
An opcode stands as often as its weight."""

STRUCTURES: Final = frozenset(
    {"loop", "fold", "pressure", "funnel", "calls", "idiom", "again", "stack_load", "stack_store"}
)
_ADDRESS: Final = "iadd band ishl "
_NEEDS: Final = {
    **dict.fromkeys(FAMILIES["memory"], _ADDRESS),
    **dict.fromkeys(("udiv", "sdiv", "urem", "srem"), "bor ishl"),
    "fold": _ADDRESS + "isub bor bxor load store", "loop": "brif jump isub band icmp iadd",
    "brif": "jump icmp band", "br_table": "jump band", "pressure": "isub bxor",
    "funnel": "ishl ushr bor",
    "stack_load": _ADDRESS + "stack_addr load store", "stack_store": _ADDRESS + "stack_addr load store",
    "trapz": "icmp", "trapnz": "icmp", "uadd_overflow_trap": "band",
}  # fmt: skip
"""Opcodes that come with an operation, without which a target gets none of it. ``iadd`` and ``iconst`` it has."""
_NAMES: Final = tuple(FAMILIES)
FAMILY_COUNT: Final = len(FAMILIES)
CALL: Final = _NAMES.index("call")
DIVIDE: Final = _NAMES.index("divide")
SELECT: Final = _NAMES.index("select")
CONVERT: Final = _NAMES.index("float to int")
_FLOAT_FAMILIES: Final = frozenset(i for i, name in enumerate(_NAMES) if name.startswith("float"))

MAX_DEPTH: Final = 3
"""Of structures in structures."""
EXTENSIONS: Final = ("", "uext", "sext")
"""What a parameter or result may promise of its register's upper bits."""
DRAWS: Final = 16
"""Among how many types one is drawn."""
_WIDE_SHARE: Final = (0, 5, 6, 8)
"""How many of them are wide, by how many wide types there are."""
_INTEGERS_ALONE: Final = 1 << len(INTEGERS)
_FOCUS: Final = 8
"""How often a form in focus stands in the table."""

Supports = Callable[[Opcode, Type | None, Type | None], bool]


_KINDRED: Final = tuple(
    frozenset(names.split())
    for names in (
        "band bor bxor bnot", "iadd isub ineg bnot", "imul ineg ishl", "ishl ushr sshr rotl rotr band",
        "uextend sextend ireduce bmask ineg", "bitrev bswap popcnt clz ctz rotl rotr", "iabs ineg",
        "icmp isub bxor ineg", "select icmp fcmp bmask uextend sextend ineg bnot iabs bitrev bswap popcnt rotl",
        "bitselect bmask", "umin umax smin smax", "udiv urem ishl",
        "trapz trapnz icmp bmask uextend sextend ineg bnot bitrev popcnt",
        "fma fneg fmul", "fneg fabs fcopysign fmul", "fadd fsub fneg", "fmin fmax fneg", "ceil floor trunc nearest",
        "fpromote fdemote", "bitcast fneg fabs", "isplit iconcat ireduce",
    )
)  # fmt: skip
"""Opcodes that are simplified together, if one is an operand of the other."""


class Form:
    """An opcode at concrete types: what to draw for its operands, what its results are."""

    __slots__ = ("control", "op", "operands", "results")

    def __init__(self, op: Opcode, control: Type | None, second: Type | None) -> None:
        self.op = op
        self.control = control
        self.operands: tuple[Type, ...] = tuple(
            type_ for term in op.operands if (type_ := resolve(term, control, second)) is not None
        )
        self.results: tuple[Type, ...] = tuple(
            type_ for term in op.results if (type_ := resolve(term, control, second)) is not None
        )


class Operation:
    """One drawable thing. ``forms[t]``: its forms at type ``t``, by second type, simplest first."""

    __slots__ = ("family", "forms", "name", "op", "shape", "types")

    def __init__(
        self, name: str, family: int, op: Opcode | None, supports: Supports, types: tuple[Type, ...]
    ) -> None:
        self.name = name
        self.family = family
        self.op = op
        self.shape = name if op is None else op.shape
        self.forms: dict[Type, tuple[Form, ...]] = {}
        if op is not None:
            for type_ in types:
                if found := _forms(op, type_, supports, types):
                    self.forms[type_] = found
        self.types = tuple(self.forms)


def _forms(
    op: Opcode, control: Type, supports: Supports, types: tuple[Type, ...]
) -> tuple[Form, ...]:
    if op.over and control not in op.over:
        return ()
    if "S" not in op.operands:
        if not op.over and control is not I32:
            return ()
        at = control if op.over else None
        candidates: list[tuple[Type | None, Type | None]] = [(at, None)]
    elif op.over:
        seconds = second_types(op, control)
        candidates = [(control, second) for second in types if second in seconds]
    else:
        candidates = [(None, control)] if control in second_types(op, control) else []
    return tuple(
        Form(op, first, second)
        for first, second in candidates
        if supports(op, first, second) and _drawable(op, first, second, types)
    )


def _drawable(
    op: Opcode, control: Type | None, second: Type | None, types: tuple[Type, ...]
) -> bool:
    """Are all operand and result types among those that values are kept for?"""
    for term in (*op.operands, *op.results):
        if term == "...":
            continue
        try:
            type_ = resolve(term, control, second)
        except (ValueError, KeyError):
            return False
        if type_ not in types:
            return False
    return True


def undrawn(supports: Supports) -> dict[str, tuple[str, ...]]:
    """Opcodes that a target has and that are not drawn for it, with those that come with them and that it has not."""
    by_name = {op.name: op for op in OPCODES}

    def has(name: str) -> bool:
        return bool(Operation(name, 0, by_name[name], supports, INTEGERS).forms)

    found = {name: tuple(needed for needed in needs.split() if not has(needed))
             for name, needs in _NEEDS.items() if name in by_name and has(name)}  # fmt: skip
    return {name: lacking for name, lacking in found.items() if lacking}


class Repertoire:
    """All operations on ``types`` that a target supports, and the weighted tables cut from them by swarm masks.

    ``nested``: by result type, the opcodes an operand may be made of, each as its forms; ``users``: by operand type,
    the opcodes that a load may be folded into, each as its forms; ``floats``: are some of the types? ``idioms``: of
    those that the target is said to look for, what can be drawn; ``slots``: may there be stack slots? ``traps``,
    ``shifts``: is there a ``trap``, an ``ishl``? ``mixed``: integer types of which there is an exclusive or.
    """

    def __init__(
        self, supports: Supports, types: tuple[Type, ...] = INTEGERS, idioms: Sequence[str] = ()
    ) -> None:
        self.values = types
        self.floats = any(type_.is_float for type_ in types)
        by_name = {op.name: op for op in OPCODES}

        def has(names: str) -> bool:
            made = (Operation(name, 0, by_name[name], supports, types) for name in names.split())
            return all(operation.forms for operation in made)

        self.slots, self.traps, self.shifts = has(_NEEDS["stack_load"]), has("trap"), has("ishl")
        mixing = Operation("bxor", 0, by_name["bxor"], supports, types)
        self.mixed = frozenset(type_ for type_ in mixing.types if not type_.is_float)
        self._weighted: list[tuple[Operation, int]] = []
        for family, (_, weights) in enumerate(FAMILIES.items()):
            if family in _FLOAT_FAMILIES and not self.floats:
                continue
            for name, weight in weights.items():
                op = None if name in STRUCTURES else by_name[name]
                operation = Operation(name, family, op, supports, types)
                if (op is None or operation.forms) and has(_NEEDS.get(name, "")):
                    self._weighted.append((operation, weight))
        self.nested: dict[Type, tuple[tuple[Form, ...], ...]] = {}
        operations = [Operation(name, 0, by_name[name], supports, types) for name in NESTED]
        for type_ in types:
            giving = [[form for forms in operation.forms.values() for form in forms
                       if form.results[0] is type_] for operation in operations]  # fmt: skip
            self.nested[type_] = tuple(tuple(forms) for forms in giving if forms)
        using = [Operation(name, 0, by_name[name], supports, types) for name in USERS]
        self.users: dict[Type, tuple[tuple[Form, ...], ...]] = {}
        for type_ in types:
            taking = [[form for forms in operation.forms.values() for form in forms
                       if type_ in form.operands] for operation in using]  # fmt: skip
            self.users[type_] = tuple(tuple(forms) for forms in taking if forms)
        self._forms = {
            operation.name: [form for forms in operation.forms.values() for form in forms]
            for operation, _ in self._weighted
        }
        self.idioms = Idioms(idioms, lambda name: self._forms.get(name, ()))
        self._kindred: dict[tuple[str, Type], tuple[Form, ...]] = {}
        #: by family the bit that switches it off, 0 for the first, and its part of the table
        self._by_family = [
            (1 << family if family else 0,
             tuple([operation for operation, weight in members for _ in range(weight)]))
            for family, members in groupby(self._weighted, lambda pair: pair[0].family)
        ]  # fmt: skip
        self._focus: list[Operation] = []
        self._types: dict[int, tuple[Type, ...]] = {}

    def focused(self, wanted: Sequence[tuple[str, str]]) -> Repertoire:
        """A repertoire in which the forms ``wanted`` (opcode, type) stand many times over, whatever is
        switched off; those it does not have are passed over."""
        other = copy(self)
        other._focus = []
        known = {operation.name: operation for operation, _ in self._weighted}
        for name, type_name in wanted:
            operation = known.get(name)
            if operation is None:
                continue
            forms = {t: f for t, f in operation.forms.items() if t.name == type_name}
            if forms and len(forms) < len(operation.forms):
                operation = copy(operation)
                operation.forms = forms
                operation.types = tuple(forms)
            other._focus += [operation] * _FOCUS
        return other

    def kindred(self, name: str, type_: Type) -> tuple[Form, ...]:
        """Forms that give ``type_`` of the opcodes that stand in a group with the opcode ``name``."""
        found = self._kindred.get((name, type_))
        if found is None:
            names = {other for group in _KINDRED if name in group for other in group}
            found = self._kindred[name, type_] = tuple([
                form for operation, _ in self._weighted if operation.name in names
                for forms in operation.forms.values() for form in forms
                if form.results == (type_,) and not form.op.side_effects
            ])  # fmt: skip
        return found

    def form_of(self, inst: Inst, types: Mapping[Value, Type]) -> Form | None:
        """The form that ``inst`` is drawn by, if it is."""
        operands = tuple([types[arg] for arg in inst.args])
        for form in self._forms.get(inst.op.name, ()):
            if form.control is inst.type and form.operands == operands:
                return form
        return None

    def table(self, off: int) -> tuple[Operation, ...]:
        """Operations without the families whose bits are set in ``off``; never empty."""
        kept = [share for bit, share in self._by_family if not off & bit]
        return (*chain.from_iterable(kept), *self._focus)

    def types(self, off: int) -> tuple[Type, ...]:
        """Sixteen types, each as often as it is to be drawn, simplest first: without those integers whose bits are
        set in ``off`` (all of them set: all integers)."""
        found = self._types.get(off)
        if found is None:
            found = self._types[off] = self._shares(off, self.values[len(INTEGERS) :])
        return found

    def integers(self, off: int) -> tuple[Type, ...]:
        """The same of integers alone, i128 with them if it is among the types."""
        key = off | _INTEGERS_ALONE
        found = self._types.get(key)
        if found is None:
            wide = tuple([type_ for type_ in self.values[len(INTEGERS) :] if type_.is_int])
            found = self._types[key] = self._shares(off, wide)
        return found

    def _shares(self, off: int, wide: tuple[Type, ...]) -> tuple[Type, ...]:
        narrow = [t for i, t in enumerate(INTEGERS) if not off >> i & 1] or list(INTEGERS)
        left = DRAWS - _WIDE_SHARE[len(wide)]
        shares = [type_ for type_ in narrow for _ in range(left // len(narrow))]
        shares += [narrow[0]] * (left - len(shares))
        for place, type_ in enumerate(wide):
            shares += [type_] * ((DRAWS - left + place) // len(wide))
        return tuple(sorted(shares, key=TYPES.index))
