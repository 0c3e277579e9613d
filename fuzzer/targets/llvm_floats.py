"""CLIF's float operations as LLVM IR, and those on bits, which LLVM has for integers only.

Tables for :mod:`fuzzer.targets.llvm_ir`. Templates are over ``{t}`` (the result's type), ``{s}`` (the first operand's),
``{n}`` and ``{m}`` (the two as they stand in the names of intrinsics) and the operands. No fast-math flag is ever
given, so what LLVM may do is what IEEE 754 allows, the bits of a NaN that an operation makes apart.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backend.ir.entities import Inst, Value

if TYPE_CHECKING:
    from fuzzer.targets.llvm_ir import Translator

TEMPLATES: Final[dict[str, str]] = {
    **{op: f"{op} {{t}} {{x}}, {{y}}" for op in ("fadd", "fsub", "fmul", "fdiv")},
    "fneg": "fneg {t} {x}",
    **{op: f"call {{t}} @llvm.{name}.{{n}}({{t}} {{x}})" for op, name in {
        "sqrt": "sqrt", "fabs": "fabs", "ceil": "ceil", "floor": "floor", "trunc": "trunc",
        "nearest": "roundeven"}.items()},
    **{op: f"call {{t}} @llvm.{name}.{{n}}({{t}} {{x}}, {{t}} {{y}})" for op, name in {
        "fcopysign": "copysign", "fmin": "minimum", "fmax": "maximum"}.items()},
    "fma": "call {t} @llvm.fma.{n}({t} {x}, {t} {y}, {t} {z})",
    "fpromote": "fpext {s} {x} to {t}",
    "fdemote": "fptrunc {s} {x} to {t}",
    "fcvt_from_uint": "uitofp {s} {x} to {t}",
    "fcvt_from_sint": "sitofp {s} {x} to {t}",
    "fcvt_to_uint_sat": "call {t} @llvm.fptoui.sat.{n}.{m}({s} {x})",
    "fcvt_to_sint_sat": "call {t} @llvm.fptosi.sat.{n}.{m}({s} {x})",
    "bitcast": "bitcast {s} {x} to {t}",
}  # fmt: skip

CONDITIONS: Final = {"ord": "ord", "uno": "uno", "eq": "oeq", "ne": "une", "one": "one", "ueq": "ueq",
                     "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge",
                     "ult": "ult", "ule": "ule", "ugt": "ugt", "uge": "uge"}  # fmt: skip

BITWISE: Final = {"band": "and", "bor": "or", "bxor": "xor", "bnot": "xor"}
"""Operations on the bits of floats: LLVM has them for integers."""

FOLDED: Final = frozenset(
    {"fadd", "fsub", "fmul", "fdiv", "fma", "fmin", "fmax", "fdemote", "sqrt"}
)
"""Operations that LLVM may replace by an operand (x * 1, the maximum of x and x, what was promoted before it is
demoted), a signalling NaN included: it lets the quiet bit of a NaN open (LangRef, "Behavior of Floating-Point NaN
values"), CLIF does not. And ``sqrt``: a select of a constant NaN where its operand is below 0 or a NaN becomes the
square root alone on AArch64 (LLVM 22.1.0), whose NaN is another one; behind an integer it is not recognised."""

HANDED_ON: Final = {"riscv64": frozenset({"ceil", "floor", "trunc", "nearest"})}
"""ISA -> further operations that hand on a signalling NaN as it is: RISC-V rounds by way of an integer, and not at all
what is no number."""


def _bits(low: Translator, value: Value) -> str:
    """The integer type as wide as ``value``."""
    return f"i{low.function.value_types[value].bits}"


def quieted(low: Translator, inst: Inst, made: str) -> None:
    """The result of ``inst`` is ``made``, with the quiet bit set if that is a NaN."""
    type_, bits = low.type_of(inst.results[0]), _bits(low, inst.results[0])
    quiet = 1 << (22 if type_ == "float" else 51)
    nan = low.temporary(f"fcmp uno {type_} {made}, {made}")
    word = low.temporary(f"bitcast {type_} {made} to {bits}")
    set_ = low.temporary(f"or {bits} {word}, {quiet}")
    chosen = low.temporary(f"select i1 {nan}, {bits} {set_}, {bits} {word}")
    low.result(inst, f"bitcast {bits} {chosen} to {type_}")


def float_constant(low: Translator, inst: Inst) -> None:
    type_ = low.type_of(inst.results[0])
    low.result(inst, f"bitcast {_bits(low, inst.results[0])} {inst.imm} to {type_}")


def fcmp(low: Translator, inst: Inst) -> None:
    x, y = (low.name_of(a) for a in inst.args)
    condition = CONDITIONS[inst.keyword]
    bit = low.temporary(f"fcmp {condition} {low.type_of(inst.args[0])} {x}, {y}")
    low.result(inst, f"zext i1 {bit} to i8")


def bitwise(low: Translator, inst: Inst) -> None:
    """A bitwise operation: of integers as it is, of floats by way of integers."""
    operation = BITWISE[inst.op.name]
    type_ = low.type_of(inst.results[0])
    bits = _bits(low, inst.results[0])
    args = [low.name_of(a) for a in inst.args]
    if type_ != bits:
        args = [low.temporary(f"bitcast {type_} {a} to {bits}") for a in args]
    text = f"{operation} {bits} {', '.join([*args, '-1'][:2])}"
    if type_ == bits:
        low.result(inst, text)
    else:
        low.result(inst, f"bitcast {bits} {low.temporary(text)} to {type_}")


def to_integer(low: Translator, inst: Inst) -> None:
    """Truncated first, then compared with the integers' range."""
    source, to = low.type_of(inst.args[0]), low.function.value_types[inst.results[0]]
    signed = inst.op.name == "fcvt_to_sint"
    x = low.name_of(inst.args[0])
    low.trap_if(low.temporary(f"fcmp uno {source} {x}, {x}"), "bad_toint")
    intrinsic = f"@llvm.trunc.{low.mangled(inst.args[0])}"
    low.declare(f"{source} {intrinsic}({source})")
    whole = low.temporary(f"call {source} {intrinsic}({source} {x})")
    least, above = (literal(n, source) for n in integer_range(to.bits, signed))
    too_low = low.temporary(f"fcmp olt {source} {whole}, {least}")
    too_high = low.temporary(f"fcmp oge {source} {whole}, {above}")
    low.trap_if(low.temporary(f"or i1 {too_low}, {too_high}"), "int_ovf")
    low.result(inst, f"{'fptosi' if signed else 'fptoui'} {source} {whole} to {to.name}")


def bitselect(low: Translator, inst: Inst) -> None:
    type_, bits = low.type_of(inst.results[0]), _bits(low, inst.results[0])
    c, x, y = (low.name_of(a) for a in inst.args)
    if type_ != bits:
        c, x, y = (low.temporary(f"bitcast {type_} {a} to {bits}") for a in (c, x, y))
    first = low.temporary(f"and {bits} {c}, {x}")
    inverse = low.temporary(f"xor {bits} {c}, -1")
    second = low.temporary(f"and {bits} {inverse}, {y}")
    either = low.temporary(f"or {bits} {first}, {second}")
    low.result(inst, f"bitcast {bits} {either} to {type_}")


METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    **dict.fromkeys(("f32const", "f64const"), float_constant),
    **dict.fromkeys(BITWISE, bitwise),
    "bitselect": bitselect,
    "fcmp": fcmp,
    **dict.fromkeys(("fcvt_to_uint", "fcvt_to_sint"), to_integer),
}
"""What takes more than one instruction."""


def literal(number: int, type_: str) -> str:
    """A power of two, or 0, or its negation, as a constant of a float type; infinity for what is above its range."""
    value = math.inf if type_ == "float" and number >= 1 << 128 else float(number)
    return f"0x{struct.pack('>d', value).hex()}"


def integer_range(bits: int, signed: bool) -> tuple[int, int]:
    """The least integer of ``bits`` bits, and the one above the greatest."""
    return (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
