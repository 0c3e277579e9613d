"""THE table: one row an opcode. Parser, printer, verifier, builder, generator and reference read it.

A row says how an opcode is written (its *shape*), what types it takes and gives (its *signature*),
and what else matters to a pass: does it trap, touch memory, end a block. What it *means* is one
function in the reference interpreter, and how a machine does it is one rule in a lowering table.

**Signatures.** ``"T S -> T"``: operand types left of the arrow, result types right of it. A term is

=================  ===============================================================================
``T``              the controlling type, drawn from the row's ``over``
``S``              a second free type, drawn from ``second``, bound to T by ``where``
``i8`` ``f32x4``   a concrete type
``addr``           the pointer type (i64)
``truthy(T)``      see :func:`backend.ir.types.truthy`; ``lane(T)``, ``double(T)``, ``half(T)``,
                   ``merge(T)``, ``split(T)``, ``fixed(T)`` likewise
``...``            any number of values whose types come from elsewhere (a signature, a block)
=================  ===============================================================================

**The type suffix.** ``control`` says which operand shows T (``None``: nothing does, the suffix is
mandatory). An opcode without T takes no suffix.

Source: the CLIF reference of cranelift-codegen (``meta/src/shared/instructions.rs``), as facts.
``only`` names the version for an opcode that one of 0.120 and today's Cranelift lacks.
"""

from __future__ import annotations

from typing import Final

from backend.ir import types as t
from backend.ir.types import Type

# -- shapes: how the operands are written -----------------------------------------------------------
#
# The words of a shape's syntax, in order. `v` takes the next operand value; every other word is
# an immediate that lives in the instruction's attribute named after it (see backend.ir.entities).

SHAPES: Final[dict[str, str]] = {
    "values": "v*",                          # any fixed number of values
    "varargs": "values",                     # return
    "int_const": "imm",                      # iconst.T imm
    "float_const": "float",                  # f32const 0x1.0p0
    "pool_const": "vconst",                  # vconst.T constN | literal
    "int_compare": "intcc v, v",
    "int_compare_imm": "intcc v, imm",
    "float_compare": "floatcc v, v",
    "binary_imm": "v, imm",
    "lane_of": "v, lane",                    # extractlane
    "lane_into": "v, v, lane",               # insertlane
    "shuffle": "v, v, mask",
    "flagged_unary": "flags v",              # bitcast
    "load": "flags v offset",
    "store": "flags v, v offset",
    "atomic_load": "flags v",
    "atomic_store": "flags v, v",
    "atomic_rmw": "flags rmw v, v",
    "atomic_cas": "flags v, v, v",
    "slot": "ss offset",                     # stack_addr, stack_load
    "slot_store": "v, ss offset",
    "dynamic_slot": "dss",
    "dynamic_slot_store": "v, dss",
    "jump": "block",
    "brif": "v, block, block",
    "br_table": "v, block, table",
    "call": "fn args",
    "call_indirect": "sig, v args",
    "try_call": "fn args, sig, block, handlers",
    "try_call_indirect": "v args, sig, block, handlers",
    "func": "fn",                            # func_addr
    "global": "gv",
    "exception_handler": "block, lane",      # get_exception_handler_address
    "trap": "code",
    "cond_trap": "v, code",
    "add_trap": "v, v, code",
}  # fmt: skip

INT_CC: Final = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
FLOAT_CC: Final = ("ord", "uno", "eq", "ne", "one", "ueq", "lt", "le", "gt", "ge",
                   "ult", "ule", "ugt", "uge")  # fmt: skip
SWAPPED: Final = {
    "eq": "eq", "ne": "ne", "slt": "sgt", "sgt": "slt", "sle": "sge", "sge": "sle",
    "ult": "ugt", "ugt": "ult", "ule": "uge", "uge": "ule",
    "ord": "ord", "uno": "uno", "one": "one", "ueq": "ueq", "lt": "gt", "gt": "lt", "le": "ge", "ge": "le",
}  # fmt: skip
"""The condition, of integers or floats, that holds of exchanged operands when this one holds."""
INVERTED: Final = {"eq": "ne", "ne": "eq", "slt": "sge", "sge": "slt", "sgt": "sle", "sle": "sgt",
                   "ult": "uge", "uge": "ult", "ugt": "ule", "ule": "ugt"}  # fmt: skip
"""The condition of integers that holds when this one does not."""
RMW_OPS: Final = ("add", "sub", "and", "nand", "or", "xor", "xchg", "umin", "umax", "smin", "smax")
TRAP_CODES: Final = ("stk_ovf", "int_ovf", "heap_oob", "int_divz", "bad_toint",
                     *(f"user{n}" for n in range(1, 251)))  # fmt: skip

# -- sets of types ----------------------------------------------------------------------------------

TypeSet = tuple[Type, ...]


def _vectors(lanes: tuple[Type, ...]) -> TypeSet:
    return tuple(
        t.vector(lane, bits // lane.bits)
        for bits in (64, 128)
        for lane in lanes
        if bits // lane.bits >= 2
    )


INT: Final[TypeSet] = t.INTS
N64: Final[TypeSet] = (t.I8, t.I16, t.I32, t.I64)
VEC_INT: Final[TypeSet] = _vectors((t.I8, t.I16, t.I32, t.I64))
VEC_FLOAT: Final[TypeSet] = _vectors((t.F16, t.F32, t.F64))
VEC: Final[TypeSet] = VEC_INT + VEC_FLOAT
ANY_INT: Final[TypeSet] = INT + VEC_INT
ANY_FLOAT: Final[TypeSet] = t.FLOATS + VEC_FLOAT
ANY: Final[TypeSet] = INT + t.FLOATS + VEC
_WIDENABLE: Final[TypeSet] = _vectors((t.I8, t.I16, t.I32))
_NARROWABLE: Final[TypeSet] = _vectors((t.I16, t.I32, t.I64))
_I8X16: Final[TypeSet] = (t.vector(t.I8, 16),)


class Opcode:
    """One row. Identity is the object; ``index`` is its dense number, ``name`` its spelling."""

    __slots__ = ("commutes", "control", "doc", "index", "name", "only", "operands", "over",
                 "reads", "results", "second", "shape", "side_effects", "syntax", "terminator",
                 "traps", "where", "writes")  # fmt: skip

    def __init__(
        self,
        name: str,
        shape: str,
        signature: str,
        doc: str,
        *,
        over: TypeSet = (),
        second: TypeSet = (),
        where: str = "",
        control: int | None = 0,
        traps: tuple[str, ...] = (),
        reads: bool = False,
        writes: bool = False,
        terminator: bool = False,
        side_effects: bool = False,
        commutes: bool = False,
        only: str = "",
    ) -> None:
        left, _, right = signature.partition("->")
        self.index = len(OPCODES)
        self.name = name
        self.shape = shape
        self.syntax = SHAPES[shape]
        self.operands = tuple(left.split())
        self.results = tuple(right.split())
        self.doc = doc
        #: the types T ranges over in fixed-width code; empty: not polymorphic
        self.over = over
        self.second = second
        #: how S is bound to T: "S<T", "S>T" (scalar widths), "bits" (same size), "lanes" (same lanes)
        self.where = where
        self.control = control if over else None
        self.traps = traps
        self.reads = reads
        self.writes = writes
        self.terminator = terminator
        #: may not be removed even if its results are unused, nor reordered
        self.side_effects = side_effects or writes or terminator or bool(traps)
        self.commutes = commutes
        self.only = only

    @property
    def polymorphic(self) -> bool:
        return bool(self.over)

    @property
    def operand_suffix(self) -> bool:
        """May it have the type of its first operand as a suffix, though it has no T? To Cranelift that type is its T."""
        return not self.over and self.operands[:1] in (("S",), ("addr",))

    @property
    def suffix_required(self) -> bool:
        """True if nothing but the suffix tells T."""
        return self.polymorphic and self.control is None

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return opcode_named, (self.name,)

    def __copy__(self) -> Opcode:
        return self

    def __deepcopy__(self, memo: object) -> Opcode:
        return self


OPCODES: Final[list[Opcode]] = []
_BY_NAME: Final[dict[str, Opcode]] = {}


def opcode_named(name: str) -> Opcode:
    """The row called ``name``; KeyError if there is none."""
    return _BY_NAME[name]


def find_opcode(name: str) -> Opcode | None:
    return _BY_NAME.get(name)


def resolve(term: str, control: Type | None, second: Type | None = None) -> Type | None:
    """The type a signature's term stands for; None if it is free (``...``, an unbound T or S).

    ValueError if the term has no type at this T (``half(i8)``).
    """
    if term == "T":
        return control
    if term == "S":
        return second
    if term == "...":
        return None
    if term == "addr":
        return t.I64
    call, _, rest = term.partition("(")
    if not rest:
        return t.type_named(term)
    return None if control is None else _TYPE_FUNCTIONS[call](control)


_TYPE_FUNCTIONS: Final = {
    "truthy": t.truthy,
    "lane": lambda type_: type_.lane,
    "double": t.double_width,
    "half": t.half_width,
    "merge": t.merge_lanes,
    "split": t.split_lanes,
    "fixed": t.fixed,
}


def second_types(op: Opcode, control: Type) -> TypeSet:
    """Every S that this opcode takes beside T = ``control``."""
    where = op.where
    if where == "S<T":
        return tuple(s for s in op.second if s.bits < control.bits)
    if where == "S>T":
        return tuple(s for s in op.second if s.bits > control.bits)
    if where == "bits":
        return tuple(s for s in op.second if s.bits == control.bits)
    if where == "lanes":
        return tuple(s for s in op.second if s.lanes == control.lanes)
    if where == "lanes+bits":
        return tuple(s for s in op.second if s.lanes == control.lanes
                     and (s.lanes == 1 or s.bits == control.bits))  # fmt: skip
    return op.second


def _row(name: str, shape: str, signature: str, doc: str, **attributes: object) -> None:
    if name in _BY_NAME:
        raise ValueError(f"two rows for {name}")
    op = Opcode(name, shape, signature, doc, **attributes)  # type: ignore[arg-type]  # one row's keywords
    OPCODES.append(op)
    _BY_NAME[name] = op


_DIVZ: Final = ("int_divz",)
_OLD: Final = "0.120"
_NEW: Final = "head"

# fmt: off
# -- integer arithmetic ------------------------------------------------------------------------------
_row("iadd", "values", "T T -> T", "x + y modulo 2^B", over=ANY_INT, commutes=True)
_row("isub", "values", "T T -> T", "x - y modulo 2^B", over=ANY_INT)
_row("imul", "values", "T T -> T", "x * y modulo 2^B", over=ANY_INT, commutes=True)
_row("ineg", "values", "T -> T", "-x modulo 2^B", over=ANY_INT)
_row("iabs", "values", "T -> T", "absolute value; the minimum maps to itself", over=ANY_INT)
_row("umulhi", "values", "T T -> T", "upper half of the unsigned 2B-bit product", over=ANY_INT, commutes=True)
_row("smulhi", "values", "T T -> T", "upper half of the signed 2B-bit product", over=ANY_INT, commutes=True)
_row("udiv", "values", "T T -> T", "unsigned quotient; y = 0 traps", over=INT, traps=_DIVZ)
_row("sdiv", "values", "T T -> T", "quotient toward zero; y = 0 and MIN / -1 trap", over=INT, traps=("int_divz", "int_ovf"))
_row("urem", "values", "T T -> T", "unsigned remainder; y = 0 traps", over=INT, traps=_DIVZ)
_row("srem", "values", "T T -> T", "remainder with the dividend's sign; y = 0 traps, MIN rem -1 is 0", over=INT, traps=_DIVZ)
for _name, _doc in (("smin", "signed minimum"), ("umin", "unsigned minimum"), ("smax", "signed maximum"), ("umax", "unsigned maximum")):
    _row(_name, "values", "T T -> T", _doc, over=ANY_INT, commutes=True)
for _name, _doc in (("uadd", "unsigned sum"), ("sadd", "signed sum"), ("usub", "unsigned difference"), ("ssub", "signed difference")):
    _row(f"{_name}_overflow", "values", "T T -> T i8", f"wrapped {_doc}, and 1 if it did not fit", over=INT, commutes=_name[1:] == "add")
for _name, _doc in (("umul", "unsigned product"), ("smul", "signed product")):
    _row(f"{_name}_overflow", "values", "T T -> T i8", f"wrapped {_doc}, and 1 if it did not fit", over=N64, commutes=True)
for _name, _doc in (("uadd_overflow_cin", "x + y + (c != 0)"), ("sadd_overflow_cin", "x + y + (c != 0)"),
                    ("usub_overflow_bin", "x - (y + (b != 0))"), ("ssub_overflow_bin", "x - (y + (b != 0))")):
    _row(_name, "values", "T T i8 -> T i8", f"wrapped {_doc}, and 1 if either step did not fit", over=INT, control=1)
_row("uadd_overflow_trap", "add_trap", "T T -> T", "x + y; a carry traps with the given code", over=(t.I32, t.I64), traps=("code",), commutes=True)
for _name, _doc in (("uadd_sat", "unsigned x + y"), ("sadd_sat", "signed x + y"), ("usub_sat", "unsigned x - y"), ("ssub_sat", "signed x - y")):
    _row(_name, "values", "T T -> T", f"{_doc}, saturated", over=VEC_INT, commutes="add" in _name)
_row("avg_round", "values", "T T -> T", "(x + y + 1) >> 1 unsigned, without overflow", over=VEC_INT, commutes=True)
_row("sqmul_round_sat", "values", "T T -> T", "saturate((x * y + 2^(B-2)) >> (B-1))", over=(t.vector(t.I16, 4), t.vector(t.I16, 8), t.vector(t.I32, 2), t.vector(t.I32, 4)), commutes=True)
_row("iadd_pairwise", "values", "T T -> T", "sums of adjacent lanes of x, then of y", over=_WIDENABLE)

# -- bits ----------------------------------------------------------------------------------------------
for _name, _doc in (("band", "x and y"), ("bor", "x or y"), ("bxor", "x xor y")):
    _row(_name, "values", "T T -> T", _doc, over=ANY, commutes=True)
_row("bnot", "values", "T -> T", "not x", over=ANY)
for _name, _doc in (("band", "x and not y"), ("bor", "x or not y"), ("bxor", "x xor not y")):
    _row(f"{_name}_not", "values", "T T -> T", _doc, over=ANY, only=_OLD)
for _name, _doc in (("ishl", "x << y"), ("ushr", "x >> y, zeros in"), ("sshr", "x >> y, signs in"),
                    ("rotl", "x rotated left by y"), ("rotr", "x rotated right by y")):
    _row(_name, "values", "T S -> T", f"{_doc}; the amount is unsigned modulo B", over=ANY_INT, second=INT)
_row("clz", "values", "T -> T", "leading zeros; B for 0", over=INT)
_row("ctz", "values", "T -> T", "trailing zeros; B for 0", over=INT)
_row("cls", "values", "T -> T", "copies of the sign bit after it", over=INT)
_row("bitrev", "values", "T -> T", "bits in reverse order", over=INT)
_row("bswap", "values", "T -> T", "bytes in reverse order", over=(t.I16, t.I32, t.I64, t.I128))
_row("popcnt", "values", "T -> T", "number of ones", over=ANY_INT)
_row("bitselect", "values", "T T T -> T", "(c & x) | (~c & y)", over=ANY, control=1)
_row("bmask", "values", "S -> T", "all ones if x is not 0, else 0", over=INT, second=INT, control=None)

# -- compares and selects ------------------------------------------------------------------------------
_row("icmp", "int_compare", "T T -> truthy(T)", "1 (or all ones a lane) if the condition holds", over=ANY_INT)
_row("fcmp", "float_compare", "T T -> truthy(T)", "1 (or all ones a lane) if the condition holds", over=ANY_FLOAT)
_row("select", "values", "S T T -> T", "c != 0 ? x : y", over=ANY, second=INT, control=1)
_row("select_spectre_guard", "values", "S T T -> T", "select, without speculation past it", over=ANY, second=INT, control=1, side_effects=True)
_row("blendv", "values", "T T T -> T", "x where the mask's lane sign is set, else y", over=VEC, only=_NEW)
_row("x86_blendv", "values", "T T T -> T", "x where the mask's lane sign is set, else y", over=VEC, only=_OLD)

# -- widths ------------------------------------------------------------------------------------------------
_row("uextend", "values", "S -> T", "zero-extended", over=INT[1:], second=INT, where="S<T", control=None)
_row("sextend", "values", "S -> T", "sign-extended", over=INT[1:], second=INT, where="S<T", control=None)
_row("ireduce", "values", "S -> T", "the low bits", over=N64, second=INT, where="S>T", control=None)
_row("iconcat", "values", "T T -> double(T)", "x as the low half, y as the high", over=N64)
_row("isplit", "values", "T -> half(T) half(T)", "the low half, the high half", over=(t.I16, t.I32, t.I64, t.I128))

# -- constants ---------------------------------------------------------------------------------------------
_row("iconst", "int_const", "-> T", "an integer", over=N64, control=None)
_row("f16const", "float_const", "-> f16", "a float, bit for bit")
_row("f32const", "float_const", "-> f32", "a float, bit for bit")
_row("f64const", "float_const", "-> f64", "a float, bit for bit")
_row("f128const", "float_const", "-> f128", "a float, bit for bit")
_row("vconst", "pool_const", "-> T", "a vector, bit for bit", over=VEC, control=None)

# -- floats ------------------------------------------------------------------------------------------------
for _name, _doc in (("fadd", "x + y"), ("fsub", "x - y"), ("fmul", "x * y"), ("fdiv", "x / y")):
    _row(_name, "values", "T T -> T", f"{_doc}, nearest-even", over=ANY_FLOAT, commutes=_name in ("fadd", "fmul"))
_row("sqrt", "values", "T -> T", "square root, nearest-even", over=ANY_FLOAT)
_row("fma", "values", "T T T -> T", "x * y + z with one rounding", over=ANY_FLOAT, control=1)
_row("fneg", "values", "T -> T", "the sign bit flipped", over=ANY_FLOAT)
_row("fabs", "values", "T -> T", "the sign bit cleared", over=ANY_FLOAT)
_row("fcopysign", "values", "T T -> T", "x with the sign of y", over=ANY_FLOAT)
_row("fmin", "values", "T T -> T", "minimum; any NaN gives NaN, -0 < +0", over=ANY_FLOAT)
_row("fmax", "values", "T T -> T", "maximum; any NaN gives NaN, -0 < +0", over=ANY_FLOAT)
for _name, _doc in (("ceil", "up"), ("floor", "down"), ("trunc", "toward zero"), ("nearest", "to nearest, ties to even")):
    _row(_name, "values", "T -> T", f"rounded {_doc}", over=ANY_FLOAT)
_row("fpromote", "values", "S -> T", "exact", over=t.FLOATS[1:], second=t.FLOATS, where="S<T", control=None)
_row("fdemote", "values", "S -> T", "nearest-even", over=t.FLOATS[:-1], second=t.FLOATS, where="S>T", control=None)
_row("fvdemote", "values", "f64x2 -> f32x4", "two lanes demoted, two zero")
_row("fvpromote_low", "values", "f32x4 -> f64x2", "the low two lanes promoted")
for _sign, _doc in (("uint", "an unsigned"), ("sint", "a signed")):
    _row(f"fcvt_to_{_sign}", "values", "S -> T", f"truncated to {_doc} integer; NaN and out of range trap", over=INT, second=t.FLOATS, control=None, traps=("bad_toint", "int_ovf"))
    _row(f"fcvt_to_{_sign}_sat", "values", "S -> T", f"truncated to {_doc} integer, clamped; NaN is 0", over=ANY_INT, second=ANY_FLOAT, where="lanes+bits", control=None)
    _row(f"fcvt_from_{_sign}", "values", "S -> T", f"{_doc} integer to float, nearest-even", over=ANY_FLOAT, second=ANY_INT, where="lanes+bits", control=None)
_row("bitcast", "flagged_unary", "S -> T", "the same bits, as if stored and loaded", over=ANY, second=ANY, where="bits", control=None)

# -- vectors -----------------------------------------------------------------------------------------------
_row("splat", "values", "lane(T) -> T", "one value in every lane", over=VEC, control=None)
_row("scalar_to_vector", "values", "lane(T) -> T", "lane 0, the others zero", over=VEC, control=None)
_row("extractlane", "lane_of", "T -> lane(T)", "one lane", over=VEC)
_row("insertlane", "lane_into", "T lane(T) -> T", "x with one lane replaced", over=VEC)
_row("shuffle", "shuffle", "T T -> T", "bytes of x (0-15) and y (16-31) by mask", over=_I8X16)
_row("swizzle", "values", "T T -> T", "bytes of x by index; above 15 gives 0", over=_I8X16)
_row("snarrow", "values", "T T -> split(T)", "signed to signed, saturated; x low, y high", over=_NARROWABLE)
_row("unarrow", "values", "T T -> split(T)", "signed to unsigned, saturated; x low, y high", over=_NARROWABLE)
_row("uunarrow", "values", "T T -> split(T)", "unsigned to unsigned, saturated; x low, y high", over=_NARROWABLE)
for _name, _doc in (("swiden_low", "low lanes sign-extended"), ("swiden_high", "high lanes sign-extended"),
                    ("uwiden_low", "low lanes zero-extended"), ("uwiden_high", "high lanes zero-extended")):
    _row(_name, "values", "T -> merge(T)", _doc, over=_WIDENABLE)
_row("vany_true", "values", "T -> i8", "1 if any bit is set", over=VEC)
_row("vall_true", "values", "T -> i8", "1 if no lane is zero", over=VEC)
_row("vhigh_bits", "values", "S -> T", "sign of lane i to bit i", over=N64, second=VEC, control=None)
_row("x86_pshufb", "values", "T T -> T", "bytes of x by index; bit 7 gives 0", over=_I8X16)
_row("x86_pmulhrsw", "values", "T T -> T", "(x * y + 0x4000) >> 15, wrapped", over=(t.vector(t.I16, 8),))
_row("x86_pmaddubsw", "values", "i8x16 i8x16 -> i16x8", "signed times unsigned, adjacent pairs added, saturated")
_row("x86_cvtt2dq", "values", "S -> T", "truncated; out of range gives the minimum", over=(t.vector(t.I32, 4),), second=(t.vector(t.F32, 4),), control=None)
_row("extract_vector", "lane_of", "T -> fixed(T)", "a fixed part of a dynamic vector", over=VEC)

# -- memory ------------------------------------------------------------------------------------------------
_OOB: Final = ("flags",)
_row("load", "load", "addr -> T", "memory at address + offset", over=ANY, control=None, traps=_OOB, reads=True)
_row("store", "store", "T addr ->", "memory at address + offset", over=ANY, traps=_OOB, writes=True)
for _bits, _over in ((8, N64[1:]), (16, N64[2:]), (32, N64[3:])):
    for _sign, _doc in (("u", "zero"), ("s", "sign")):
        _row(f"{_sign}load{_bits}", "load", "addr -> T", f"{_bits} bits, {_doc}-extended", over=_over, control=None, traps=_OOB, reads=True)
    _row(f"istore{_bits}", "store", "T addr ->", f"the low {_bits} bits", over=_over, traps=_OOB, writes=True)
for _part, _gives in (("8x8", "i16x8"), ("16x4", "i32x4"), ("32x2", "i64x2")):
    for _sign, _doc in (("u", "zero"), ("s", "sign")):
        _row(f"{_sign}load{_part}", "load", f"addr -> {_gives}", f"64 bits of lanes, each {_doc}-extended", traps=_OOB, reads=True)
_row("stack_addr", "slot", "-> T", "address of a stack slot", over=(t.I32, t.I64), control=None)
_row("stack_load", "slot", "-> T", "load from a stack slot", over=ANY, control=None, reads=True, only=_OLD)
_row("stack_store", "slot_store", "T ->", "store to a stack slot", over=ANY, writes=True, only=_OLD)
_row("dynamic_stack_addr", "dynamic_slot", "-> T", "address of a dynamic stack slot", over=(t.I64,), control=None)
_row("dynamic_stack_load", "dynamic_slot", "-> T", "load from a dynamic stack slot", over=VEC, control=None, reads=True, only=_OLD)
_row("dynamic_stack_store", "dynamic_slot_store", "T ->", "store to a dynamic stack slot", over=VEC, writes=True, only=_OLD)
_row("atomic_load", "atomic_load", "addr -> T", "sequentially consistent load", over=INT, control=None, traps=_OOB, reads=True, side_effects=True)
_row("atomic_store", "atomic_store", "T addr ->", "sequentially consistent store", over=INT, traps=_OOB, writes=True)
_row("atomic_rmw", "atomic_rmw", "addr T -> T", "read, combine, write; gives the old value", over=INT, control=None, traps=_OOB, reads=True, writes=True)
_row("atomic_cas", "atomic_cas", "addr T T -> T", "compare and swap; gives the old value", over=INT, control=2, traps=_OOB, reads=True, writes=True)
_row("fence", "values", "->", "a full memory barrier", side_effects=True)

# -- control flow ----------------------------------------------------------------------------------------------
_row("jump", "jump", "->", "go to a block", terminator=True)
_row("brif", "brif", "S ->", "first block if c is not 0, else the second", second=INT, terminator=True)
_row("br_table", "br_table", "i32 ->", "block by unsigned index, else the default", terminator=True)
_row("return", "varargs", "... ->", "leave the function", terminator=True)
_row("trap", "trap", "->", "stop", terminator=True, traps=("code",))
_row("trapz", "cond_trap", "S ->", "stop if c is 0", second=INT, traps=("code",))
_row("trapnz", "cond_trap", "S ->", "stop if c is not 0", second=INT, traps=("code",))
_row("debugtrap", "values", "->", "a breakpoint", side_effects=True)
_row("nop", "values", "->", "nothing")
_row("sequence_point", "values", "->", "a place a debugger may stop at", side_effects=True, only=_NEW)
_CALLS: Final[dict[str, bool]] = {"side_effects": True, "reads": True, "writes": True}
_row("call", "call", "... -> ...", "direct call", **_CALLS)
_row("call_indirect", "call_indirect", "addr ... -> ...", "call by address", **_CALLS)
_row("return_call", "call", "... ->", "direct tail call", terminator=True, **_CALLS)
_row("return_call_indirect", "call_indirect", "addr ... ->", "tail call by address", terminator=True, **_CALLS)
_row("try_call", "try_call", "... ->", "call with exception handlers", terminator=True, **_CALLS)
_row("try_call_indirect", "try_call_indirect", "addr ... ->", "call by address with exception handlers", terminator=True, **_CALLS)
_row("func_addr", "func", "-> T", "address of a function", over=(t.I32, t.I64), control=None)

# -- the environment ---------------------------------------------------------------------------------------------
_row("global_value", "global", "-> T", "value of a global", over=(t.I32, t.I64), control=None, only=_OLD, traps=_OOB, reads=True)
_row("symbol_value", "global", "-> T", "address of a symbol", over=(t.I32, t.I64), control=None)
_row("tls_value", "global", "-> T", "address of a thread-local symbol", over=(t.I32, t.I64), control=None)
_row("get_pinned_reg", "values", "-> T", "the pinned register", over=(t.I32, t.I64), control=None, side_effects=True)
_row("set_pinned_reg", "values", "T ->", "the pinned register", over=(t.I32, t.I64), side_effects=True)
for _name in ("frame_pointer", "stack_pointer", "return_address"):
    _row(f"get_{_name}", "values", "-> T", f"the {_name.replace('_', ' ')}", over=(t.I32, t.I64), control=None)
_row("get_exception_handler_address", "exception_handler", "-> T", "address of a handler", over=(t.I64,), control=None, only=_NEW)
_row("stack_switch", "values", "addr addr addr -> addr", "switch to another stack", **_CALLS)

# -- 0.120's forms with an immediate ----------------------------------------------------------------------------
for _name in ("iadd", "imul", "sdiv", "srem", "irsub"):
    _row(f"{_name}_imm", "binary_imm", "T -> T", f"{_name} with a sign-extended immediate", over=INT, only=_OLD,
         traps={"sdiv": ("int_divz", "int_ovf"), "srem": _DIVZ}.get(_name, ()))
for _name in ("udiv", "urem", "band", "bor", "bxor"):
    _row(f"{_name}_imm", "binary_imm", "T -> T", f"{_name} with a zero-extended immediate", over=INT, only=_OLD,
         traps=_DIVZ if _name[0] == "u" else ())
for _name in ("ishl", "ushr", "sshr", "rotl", "rotr"):
    _row(f"{_name}_imm", "binary_imm", "T -> T", f"{_name} by an immediate", over=ANY_INT, only=_OLD)
_row("icmp_imm", "int_compare_imm", "T -> i8", "icmp with a sign-extended immediate", over=INT, only=_OLD)
# fmt: on
