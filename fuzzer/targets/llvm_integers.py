"""CLIF's integer operations as LLVM IR.

What CLIF defines and LLVM leaves undefined is spelled out: shift amounts are masked, divisions are checked before
they are done, ``clz`` of zero is asked for, no flag (``nsw``, ``nuw``) promises anything. Templates as in
:mod:`fuzzer.targets.llvm_ir`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backend.ir.entities import Inst

if TYPE_CHECKING:
    from fuzzer.targets.llvm_ir import Translator

TEMPLATES: Final[dict[str, str]] = {
    "iadd": "add {t} {x}, {y}",
    "isub": "sub {t} {x}, {y}",
    "imul": "mul {t} {x}, {y}",
    "ineg": "sub {t} 0, {x}",
    "select": "select i1 {c}, {t} {y}, {t} {z}",
    "select_spectre_guard": "select i1 {c}, {t} {y}, {t} {z}",
    "uextend": "zext {s} {x} to {t}",
    "sextend": "sext {s} {x} to {t}",
    "ireduce": "trunc {s} {x} to {t}",
    "iabs": "call {t} @llvm.abs.{t}({t} {x}, i1 false)",
    "clz": "call {t} @llvm.ctlz.{t}({t} {x}, i1 false)",
    "ctz": "call {t} @llvm.cttz.{t}({t} {x}, i1 false)",
    "popcnt": "call {t} @llvm.ctpop.{t}({t} {x})",
    "bitrev": "call {t} @llvm.bitreverse.{t}({t} {x})",
    "bswap": "call {t} @llvm.bswap.{t}({t} {x})",
    "smin": "call {t} @llvm.smin.{t}({t} {x}, {t} {y})",
    "smax": "call {t} @llvm.smax.{t}({t} {x}, {t} {y})",
    "umin": "call {t} @llvm.umin.{t}({t} {x}, {t} {y})",
    "umax": "call {t} @llvm.umax.{t}({t} {x}, {t} {y})",
}

_SHIFTS: Final = {"ishl": "shl", "ushr": "lshr", "sshr": "ashr"}
_CONDITIONS: Final = {"eq": "eq", "ne": "ne", "slt": "slt", "sle": "sle", "sgt": "sgt", "sge": "sge",
                      "ult": "ult", "ule": "ule", "ugt": "ugt", "uge": "uge"}  # fmt: skip


def iconst(low: Translator, inst: Inst) -> None:
    low.result(inst, f"add {low.type_of(inst.results[0])} 0, {inst.imm}")


def multiply_high(low: Translator, inst: Inst) -> None:
    type_ = low.function.value_types[inst.results[0]]
    wide, extend = f"i{2 * type_.bits}", "sext" if inst.op.name[0] == "s" else "zext"
    x, y = (low.temporary(f"{extend} {type_.name} {low.name_of(a)} to {wide}") for a in inst.args)
    product = low.temporary(f"mul {wide} {x}, {y}")
    high = low.temporary(f"lshr {wide} {product}, {type_.bits}")
    low.result(inst, f"trunc {wide} {high} to {type_.name}")


def divide(low: Translator, inst: Inst) -> None:
    name = inst.op.name
    type_ = low.type_of(inst.results[0])
    x, y = (low.name_of(a) for a in inst.args)
    bits = int(type_[1:])
    low.trap_if(low.temporary(f"icmp eq {type_} {y}, 0"), "int_divz")
    if name[0] == "s":
        minus_one = low.temporary(f"icmp eq {type_} {y}, -1")
        if name == "sdiv":
            lowest = low.temporary(f"icmp eq {type_} {x}, {-(1 << (bits - 1))}")
            low.trap_if(low.temporary(f"and i1 {minus_one}, {lowest}"), "int_ovf")
        else:
            y = low.temporary(f"select i1 {minus_one}, {type_} 1, {type_} {y}")
    low.result(inst, f"{name} {type_} {x}, {y}")


def overflow(low: Translator, inst: Inst) -> None:
    type_ = low.type_of(inst.results[0])
    intrinsic = f"@llvm.{inst.op.name[:4]}.with.overflow.{type_}"
    pair = f"{{ {type_}, i1 }}"
    low.declare(f"{pair} {intrinsic}({type_}, {type_})")
    x, y = (low.name_of(a) for a in inst.args)
    both = low.temporary(f"call {pair} {intrinsic}({type_} {x}, {type_} {y})")
    low.result(inst, f"extractvalue {pair} {both}, 0")
    flag = low.temporary(f"extractvalue {pair} {both}, 1")
    low.result(inst, f"zext i1 {flag} to i8", 1)


def add_trap(low: Translator, inst: Inst) -> None:
    type_ = low.type_of(inst.results[0])
    x, y = (low.name_of(a) for a in inst.args)
    low.result(inst, f"add {type_} {x}, {y}")
    carry = low.temporary(f"icmp ult {type_} {low.name_of(inst.results[0])}, {x}")
    low.trap_if(carry, inst.keyword)


def _amount(low: Translator, inst: Inst) -> str:
    value_type = low.function.value_types[inst.results[0]]
    amount_type = low.function.value_types[inst.args[1]]
    amount = low.temporary(
        f"and {amount_type.name} {low.name_of(inst.args[1])}, {value_type.bits - 1}"
    )
    if amount_type.bits < value_type.bits:
        return low.temporary(f"zext {amount_type.name} {amount} to {value_type.name}")
    if amount_type.bits > value_type.bits:
        return low.temporary(f"trunc {amount_type.name} {amount} to {value_type.name}")
    return amount


def shift(low: Translator, inst: Inst) -> None:
    amount = _amount(low, inst)
    type_, x = low.type_of(inst.results[0]), low.name_of(inst.args[0])
    low.result(inst, f"{_SHIFTS[inst.op.name]} {type_} {x}, {amount}")


def rotate(low: Translator, inst: Inst) -> None:
    amount = _amount(low, inst)
    type_, x = low.type_of(inst.results[0]), low.name_of(inst.args[0])
    intrinsic = f"@llvm.{'fshl' if inst.op.name == 'rotl' else 'fshr'}.{type_}"
    low.declare(f"{type_} {intrinsic}({type_}, {type_}, {type_})")
    low.result(inst, f"call {type_} {intrinsic}({type_} {x}, {type_} {x}, {type_} {amount})")


def cls(low: Translator, inst: Inst) -> None:
    type_, x = low.type_of(inst.results[0]), low.name_of(inst.args[0])
    sign = low.temporary(f"ashr {type_} {x}, {int(type_[1:]) - 1}")
    flipped = low.temporary(f"xor {type_} {x}, {sign}")
    low.declare(f"{type_} @llvm.ctlz.{type_}({type_}, i1)")
    zeros = low.temporary(f"call {type_} @llvm.ctlz.{type_}({type_} {flipped}, i1 false)")
    low.result(inst, f"sub {type_} {zeros}, 1")


def bmask(low: Translator, inst: Inst) -> None:
    source = low.type_of(inst.args[0])
    bit = low.temporary(f"icmp ne {source} {low.name_of(inst.args[0])}, 0")
    low.result(inst, f"sext i1 {bit} to {low.type_of(inst.results[0])}")


def icmp(low: Translator, inst: Inst) -> None:
    x, y = (low.name_of(a) for a in inst.args)
    bit = low.temporary(f"icmp {_CONDITIONS[inst.keyword]} {low.type_of(inst.args[0])} {x}, {y}")
    low.result(inst, f"zext i1 {bit} to i8")


def iconcat(low: Translator, inst: Inst) -> None:
    half, wide = low.type_of(inst.args[0]), low.type_of(inst.results[0])
    x, y = (low.temporary(f"zext {half} {low.name_of(a)} to {wide}") for a in inst.args)
    y = low.temporary(f"shl {wide} {y}, {int(half[1:])}")
    low.result(inst, f"or {wide} {x}, {y}")


def isplit(low: Translator, inst: Inst) -> None:
    wide, half = low.type_of(inst.args[0]), low.type_of(inst.results[0])
    x = low.name_of(inst.args[0])
    low.result(inst, f"trunc {wide} {x} to {half}")
    high = low.temporary(f"lshr {wide} {x}, {int(half[1:])}")
    low.result(inst, f"trunc {wide} {high} to {half}", 1)


METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    "iconst": iconst,
    **dict.fromkeys(("umulhi", "smulhi"), multiply_high),
    **dict.fromkeys(("udiv", "sdiv", "urem", "srem"), divide),
    **dict.fromkeys([f"{s}{op}_overflow" for s in "us" for op in ("add", "sub", "mul")], overflow),
    "uadd_overflow_trap": add_trap,
    **dict.fromkeys(_SHIFTS, shift),
    **dict.fromkeys(("rotl", "rotr"), rotate),
    "cls": cls,
    "bmask": bmask,
    "icmp": icmp,
    "iconcat": iconcat,
    "isplit": isplit,
}
"""What takes more than one instruction."""
