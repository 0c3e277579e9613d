"""Faults of Cranelift that are known, so that a campaign doesn't find them again and again.

A *form* that falls over is not drawn. A *signature* whose values go to wrong registers is excluded, as unsupported and
with its reason, where it meets somebody whom Cranelift did not compile. Each has an entry in the corpus, whose replay
knows no exclusion: a version of Cranelift that has the fault no more turns the entry red, and the row goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from backend.ir.entities import Function, Signature
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from fuzzer.case import Case
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import passing

SEEN: Final = "0.135.8"
"""The version that the faults were seen in."""


class FormFault(NamedTuple):
    """``names``: opcodes at T of ``types`` whose compilation for ``isa`` panics; ``thread``: of Cranelift's on it."""

    isa: str
    names: frozenset[str]
    types: frozenset[Type]
    what: str
    thread: str


class PassingFault(NamedTuple):
    """``conventions``: those in which, for ``isa``, an i128 that finds less than two of ``registers`` left leads to
    ``what``; ``even``: it would begin at a register of even number."""

    isa: str
    conventions: frozenset[str]
    registers: int
    even: bool
    what: str


_LAST_OFFSET: Final = (1 << 31) - 1
_TO_INT: Final = frozenset({"fcvt_to_uint", "fcvt_to_sint", "fcvt_to_uint_sat", "fcvt_to_sint_sat"})
_MINMAX: Final = frozenset({"smin", "umin", "smax", "umax"})

FORM_FAULTS: Final[list[FormFault]] = [
    FormFault("x86_64", _TO_INT, frozenset({I8, I16}), "panics in emission", "wasmtime #4897"),
    FormFault("x86_64", _TO_INT, frozenset({I128}), "panics in lowering", "wasmtime #4899"),
    FormFault(
        "riscv64",
        frozenset({"select_spectre_guard"}),
        frozenset({F32, F64}),
        "panics in lowering",
        "",
    ),
    FormFault(
        "riscv64", frozenset({"isplit"}), frozenset({I16, I32, I64}), "panics in lowering", ""
    ),
    FormFault("riscv64", _TO_INT, frozenset({I128}), "panics in lowering or emission", ""),
    FormFault(
        "s390x",
        frozenset({"bitselect"}),
        frozenset({F32, F64}),
        "panics in lowering",
        "wasmtime #12197",
    ),
    FormFault("aarch64", _MINMAX, frozenset({I128}), "panics in lowering", "wasmtime #4313"),
]

MADE_FAULTS: Final[dict[str, dict[str, str]]] = {
    "x86_64": dict.fromkeys(("smin.i128", "umin.i128", "smax.i128", "umax.i128"), "wasmtime #13790")
}
"""ISA -> form that the optimiser makes, though it has no lowering -> Cranelift's thread on it."""

PASSING_FAULTS: Final[list[PassingFault]] = [
    PassingFault("x86_64", frozenset({"", "system_v"}), 6, False,
                 "the register that is left is not given to a later integer"),
    PassingFault("aarch64", frozenset({"", "system_v", "fast"}), 8, True,
                 "the register that is left is given to a later integer"),
    PassingFault("aarch64", frozenset({"apple_aarch64"}), 8, False,
                 "the register that is left is given to a later integer"),
]  # fmt: skip


KEPT_BADLY: Final = {"riscv64": "cranelift_fs1"}
"""ISA -> the dialect that is Cranelift's but for a register which it takes for one that a function may destroy."""


def form_fault(isa: str, name: str, type_: Type | None) -> FormFault | None:
    """The fault that such an instruction runs into."""
    for fault in FORM_FAULTS:
        if fault.isa == isa and name in fault.names and type_ in fault.types:
            return fault
    return None


def known_fault(case: Case) -> str:
    """Why the case is left out, or ""."""
    if case.isa == "aarch64" and any(_overruns(signature) for signature in _called(case)):
        return (
            f"known fault of Cranelift {SEEN}: an argument of apple_aarch64 is stored "
            "past the end of the others (wasmtime #13973)"
        )
    if case.isa == "riscv64" and any(map(_reaches_far, case.functions)):
        return f"known fault of Cranelift {SEEN}: an access of an i128 whose second half is beyond any offset"
    for signature in _outward(case):
        if case.isa == "riscv64" and (what := _passed_otherwise(signature)):
            return f"known fault of Cranelift {SEEN}: {what}"
        for fault in PASSING_FAULTS:
            if (
                fault.isa == case.isa
                and signature.callconv in fault.conventions
                and _leaves_one(signature, fault)
            ):
                return f"known fault of Cranelift {SEEN}: behind an i128 on the stack {fault.what}"
    return ""


def _outward(case: Case) -> Iterator[Signature]:
    """The signatures by which Cranelift's code meets other code."""
    yield case.function.signature
    own = {function.name for function in case.functions}
    for function in case.functions:
        for ref in function.functions.values():
            if ref.name not in own:
                yield ref.sig if isinstance(ref.sig, Signature) else function.signatures[ref.sig]


def _called(case: Case) -> Iterator[Signature]:
    """The signatures by which functions of the case may call."""
    for function in case.functions:
        for ref in function.functions.values():
            yield ref.sig if isinstance(ref.sig, Signature) else function.signatures[ref.sig]
        yield from function.signatures.values()


def _overruns(signature: Signature) -> bool:
    """Is the last argument on the stack extended, and stored in more bytes than it has there?"""
    if signature.callconv != "apple_aarch64":
        return False
    placed = passing(signature, MACHINES["aarch64"])
    end = -(-placed.stack // 16) * 16
    return any(
        piece.register < 0
        and piece.offset + 8 > end
        and bool(signature.params[piece.value].extension)
        for piece in placed.args
    )


def _reaches_far(function: Function) -> bool:
    """Does it access an i128 at an offset to which 8 can't be added?"""
    return any(
        inst.op.name in ("load", "store")
        and inst.imm > _LAST_OFFSET - 8
        and I128 in (inst.type, *(function.value_types[value] for value in inst.args))
        for inst in function.instructions()
    )


def _passed_otherwise(signature: Signature) -> str:
    """What LP64D has, and Cranelift has not: it counts the registers of each class and 8 bytes of stack a half."""
    placed = passing(signature, MACHINES["riscv64"])
    params = signature.params
    own = [piece for piece in placed.args if piece.value < len(params)]
    if any(p.register >= 0 and not p.is_float and params[p.value].type.is_float for p in own):
        return "a float beyond the eighth goes to the stack, though an integer register is left"
    if placed.stack > 8 * sum(p.register < 0 for p in placed.args):
        return "an i128 on the stack is not aligned"
    return ""


def _leaves_one(signature: Signature, fault: PassingFault) -> bool:
    """Does an i128 go to the stack while one register is left, and an integer follow it?"""
    used = 0
    left = False
    for param in signature.params:
        if param.type in (F32, F64):
            continue
        if param.type is not I128:
            if left:
                return True
            used += 1
            continue
        start = used + (used & 1) if fault.even else used
        if start + 2 <= fault.registers:
            used = start + 2
        else:
            left = left or used < fault.registers
    return False
