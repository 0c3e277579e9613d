"""The caller's side of a call, for any ISA: arguments to their places, the call, results from theirs.

Register arguments and results are operands of the call's one machine instruction, fixed to their registers; stack
arguments are stored before it, at the bottom of the frame, which has room for those of the largest call. What a call
destroys is a mask of its instruction, and so a matter of the allocator's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.errors import Unsupported
from backend.ir.entities import AbiParam, Inst, Signature
from backend.ir.rules import callee_signature
from backend.ir.types import I128, Type
from backend.machine.registers import FLOAT, INT
from backend.machine.rows import Row
from backend.machine.vcode import DEF, USE, MInst, Operand

if TYPE_CHECKING:
    from backend.lower.driver import Lowering

Place = int
"""Where 64 bits of a value are passed: a register, or ``-1 - offset`` on the stack."""

_SLOT: Final = 8
_STACK_ALIGN: Final = 16


class Calls(NamedTuple):
    """What calls need to know of an ISA.

    ``arguments(params)``, ``results(returns)``: the place of each value, two for an i128; Unsupported if one can't be
    passed. ``conventions``: the names of those that are this one. ``extends``: by (extension, bits) the instruction
    that extends a value to 64 bits. ``store(lowering, type, register, offset)``: store 64 bits, of a value of that
    type, ``offset`` bytes above the stack pointer. ``clobbers``: the registers that a call destroys, as a mask.
    The rows: of a call by name and by address, of the address of any function, and of one that is near.
    """

    conventions: tuple[str, ...]
    arguments: Callable[[tuple[AbiParam, ...]], list[Place]]
    results: Callable[[tuple[AbiParam, ...]], list[Place]]
    extends: Mapping[tuple[str, int], Row]
    store: Callable[[Lowering, Type, int, int], None]
    clobbers: int
    call: Row
    call_indirect: Row
    func_addr: Row
    near_func_addr: Row


def check_convention(signature: Signature, conventions: tuple[str, ...]) -> None:
    """Unsupported if the signature's calling convention is none of these."""
    if signature.callconv not in conventions:
        raise Unsupported(f"calling convention {signature.callconv}")


def extended(
    low: Lowering, value: int, param: AbiParam, extends: Mapping[tuple[str, int], Row]
) -> int:
    """The register of ``value``, extended as ``param`` promises."""
    vreg = low.use(value)
    row = extends.get((param.extension, param.type.bits))
    if row is None:
        return vreg
    wide = low.temp(INT)
    low.out.append(MInst(row, [wide, vreg], None, 0, low.origin))
    return wide


@cache
def _operands(
    uses: tuple[int, ...], use_classes: tuple[int, ...],
    defs: tuple[int, ...], def_classes: tuple[int, ...],
) -> tuple[Operand, ...]:  # fmt: skip
    """Operands fixed to registers, behind the first op, which is the callee."""
    count = len(uses)
    return tuple(
        Operand(1 + i, USE if i < count else DEF, cls, fixed=register)
        for i, (register, cls) in enumerate(
            zip((*uses, *defs), (*use_classes, *def_classes), strict=True)
        )
    )


def emit_call(low: Lowering, inst: Inst) -> None:
    """A call by name or by address."""
    calls = low.isa.calls
    signature = callee_signature(low.function, inst)
    assert signature is not None  # the verifier's rule
    check_convention(signature, calls.conventions)
    args = inst.args
    row = calls.call
    callee: tuple[Operand, ...] = ()
    if inst.ref >= 0:
        target = _symbol(low, inst.ref)
    else:
        row, target, args = calls.call_indirect, low.use(args[0]), args[1:]
        callee = row.operands
    uses, registers, use_classes = _pass(low, args, signature.params, calls)
    places = calls.results(signature.returns)
    if min(places, default=0) < 0:
        raise Unsupported(f"a call with {len(signature.returns)} results")
    defs: list[int] = []
    def_classes: list[int] = []
    for value, param in zip(inst.results, signature.returns, strict=True):
        vreg = low.result(value)
        defs += (vreg, vreg + 1) if param.type is I128 else (vreg,)
        def_classes += (INT, INT) if param.type is I128 else (_class(param),)
    operands = _operands(registers, use_classes, tuple(places), tuple(def_classes))
    low.out.append(
        MInst(row, [target, *uses, *defs], callee + operands, calls.clobbers, low.origin)
    )


def _class(param: AbiParam) -> int:
    return FLOAT if param.type.is_float else INT


def _pass(
    low: Lowering, args: tuple[int, ...], params: tuple[AbiParam, ...], calls: Calls
) -> tuple[list[int], tuple[int, ...], tuple[int, ...]]:
    """Store the stack arguments; the virtual registers of the others, where they go, and their classes."""
    uses: list[int] = []
    registers: list[int] = []
    classes: list[int] = []
    size = 0
    places = iter(calls.arguments(params))
    for value, param in zip(args, params, strict=True):
        vreg = extended(low, value, param, calls.extends)
        for half in range(2 if param.type is I128 else 1):
            place = next(places)
            if place >= 0:
                uses.append(vreg + half)
                registers.append(place)
                classes.append(_class(param))
            else:
                calls.store(low, param.type, vreg + half, -1 - place)
                size = _SLOT - 1 - place
    size = -(-size // _STACK_ALIGN) * _STACK_ALIGN
    low.vcode.outgoing = max(low.vcode.outgoing, size)
    return uses, tuple(registers), tuple(classes)


def _symbol(low: Lowering, ref: int) -> int:
    low.vcode.symbols[ref] = low.function.functions[ref].name
    return ref


def emit_func_addr(low: Lowering, inst: Inst) -> None:
    """A function's address: a distance from here if the function is near, else a constant."""
    near = low.function.functions[inst.ref].colocated
    row = low.isa.calls.near_func_addr if near else low.isa.calls.func_addr
    vreg = low.result(inst.results[0])
    low.out.append(MInst(row, [vreg, _symbol(low, inst.ref)], None, 0, low.origin))
