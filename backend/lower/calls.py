"""Calls, for any ISA: arguments to their places, the call, results from theirs; and functions that end in a call.

Register arguments and results are operands of the call's one machine instruction, fixed to their registers; stack
arguments are stored before it, at the bottom of the frame, which has room for those of the largest call. What a call
destroys is a mask of its instruction, and so a matter of the allocator's.

Results for which there are no registers are stored by the callee in an area of its caller's, whose address is passed
behind the arguments, as an integer. The area lies above the stack arguments of the call and is read right behind it.

A callee of a convention that *pops* takes its stack arguments along when it returns, so that a function in its place
may need more of them or fewer. In a tail call the arguments are stored at the bottom of the frame as in any
other, above room for what links the frame to its caller, and all this is then moved to the top of the frame and
beyond, over the arguments of the function itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.errors import Unsupported
from backend.ir.entities import AbiParam, Inst, Signature
from backend.ir.rules import callee_signature
from backend.ir.types import F32, F64, I64, I128, Type
from backend.machine.registers import FIRST_VREG, FLOAT, INT
from backend.machine.rows import Row
from backend.machine.vcode import DEF, USE, MInst, Operand

if TYPE_CHECKING:
    from backend.lower.driver import Lowering

Place = int
"""Where 64 bits of a value are passed: a register, or ``-1 - offset`` on the stack or in the area of results."""

_SLOT: Final = 8
_STACK_ALIGN: Final = 16
_MAX_POPPED: Final = 0xFFF0
"""Bytes; what a return can take along on x86-64."""
_POINTER: Final = AbiParam(I64)
"""To the area of results."""
_NO_TRAP: Final = -1


class Convention(NamedTuple):
    """A calling convention. ``arguments(params)``, ``results(returns)``: the place of each value, two for an i128;
    Unsupported if one can't be passed. ``clobbers``: the registers that a call destroys, as a mask. ``pops``: does a
    function take its stack arguments along when it returns? ``sret_result``: the register in which a function gives
    back the pointer that it got for its results (``sret``), or -1. ``home``: bytes at the bottom of the stack arguments
    that are the callee's to write, of every call. ``packed``: a value on the stack takes no more bytes than its type.
    """

    arguments: Callable[[tuple[AbiParam, ...]], list[Place]]
    results: Callable[[tuple[AbiParam, ...]], list[Place]]
    clobbers: int
    pops: bool = False
    sret_result: int = -1
    home: int = 0
    packed: bool = False

    def slot(self, type_: Type) -> Type:
        """The type that fills the place on the stack of a value of ``type_``, or of half of one: 8 bytes, of which a
        float takes its own, unless values are packed."""
        return type_ if type_.is_float or (self.packed and type_ is not I128) else I64

    def stack(self, places: Sequence[Place]) -> int:
        """Bytes of the stack arguments at ``places`` and their home, to a multiple of its alignment."""
        return max(self.home, stack_bytes(places))


class Interface(NamedTuple):
    """How functions of one signature are called. ``params``: its parameters, and the pointer to the area of results
    if there is one; ``arguments``, ``results``: the places of these and of the results, two for an i128."""

    convention: Convention
    params: tuple[AbiParam, ...]
    arguments: list[Place]
    results: list[Place]


class Calls(NamedTuple):
    """What calls need to know of an ISA.

    ``conventions``: by name. ``extends``: by (extension, bits) the instruction that extends a value to 64 bits.
    ``loads``, ``stores``: by the type that fills a place on the stack the row that moves it from and to there;
    ``address``: the row that adds a number to the stack pointer; ``reach``: their offsets are below so many times
    the size, and the number is below it. ``linkage``: bytes between the frame pointer and the caller's stack arguments.
    ``tail_target``: the register of the address in a tail call.

    The rows: of the definition of arguments in registers; of a call by name and by address, the same of callees that
    pop, of tail calls; of a return, and of one that pops; of the address of any function, and of one that is near.
    """

    conventions: Mapping[str, Convention]
    extends: Mapping[tuple[str, int], Row]
    loads: Mapping[Type, Row]
    stores: Mapping[Type, Row]
    address: Row
    reach: int
    stack_pointer: int
    frame_pointer: int
    linkage: int
    tail_target: int
    args: Row
    call: Row
    call_indirect: Row
    call_popped: Row
    call_indirect_popped: Row
    return_call: Row
    return_call_indirect: Row
    ret: Row
    ret_pop: Row
    func_addr: Row
    near_func_addr: Row


def interface_of(signature: Signature, conventions: Mapping[str, Convention]) -> Interface:
    """Unsupported if the signature's calling convention is none of these, or does not pass one of its types."""
    found = conventions.get(signature.callconv)
    if found is None:
        raise Unsupported(f"calling convention {signature.callconv}")
    results = found.results(signature.returns)
    params = signature.params
    if results and min(results) < 0:
        params = (*params, _POINTER)
    return Interface(found, params, found.arguments(params), results)


def check_param(param: AbiParam, *purposes: str) -> None:
    """Unsupported for a parameter of a type that has no register, or for a purpose that is none of these."""
    if not param.type.is_int and param.type is not F32 and param.type is not F64:
        raise Unsupported(f"a parameter or result of type {param.type}")
    if param.purpose and param.purpose not in purposes:
        raise Unsupported(f"a parameter for {param.purpose}")


def stack_bytes(places: Sequence[Place]) -> int:
    """What the places on the stack take, to a multiple of its alignment."""
    last = -1 - min(places, default=0)
    end = (last | _SLOT - 1) + 1 if last >= 0 else 0
    return -(-end // _STACK_ALIGN) * _STACK_ALIGN


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
    first: int,
    uses: tuple[int, ...], use_classes: tuple[int, ...],
    defs: tuple[int, ...], def_classes: tuple[int, ...],
) -> tuple[Operand, ...]:  # fmt: skip
    """Operands fixed to registers, from op number ``first`` on."""
    count = len(uses)
    return tuple(
        Operand(first + i, USE if i < count else DEF, cls, fixed=register)
        for i, (register, cls) in enumerate(
            zip((*uses, *defs), (*use_classes, *def_classes), strict=True)
        )
    )


def _given(
    low: Lowering, values: Sequence[int], params: Sequence[AbiParam],
    extends: Mapping[tuple[str, int], Row],
) -> Iterator[tuple[Type, int]]:  # fmt: skip
    """Type and register of each word of some values, extended as they are passed."""
    for value, param in zip(values, params, strict=True):
        vreg = extended(low, value, param, extends) if param.extension else low.use(value)
        yield param.type, vreg
        if param.type is I128:
            yield I128, vreg + 1


def _access(low: Lowering, row: Row, slot: Type, vreg: int, offset: int, base: int) -> None:
    """Load or store ``vreg``, which fills a place of type ``slot``, ``offset`` bytes above ``base``."""
    if offset >= low.isa.calls.reach * slot.bytes:
        raise Unsupported(f"an argument or result on the stack at {offset} bytes")
    given = {"d": vreg, "v": vreg, "n": base, "imm": offset, "trap": _NO_TRAP}
    ops = [given[field.name] for field in row.fields]
    kept = row.operands_without([None if op >= FIRST_VREG else op for op in ops])
    low.out.append(MInst(row, ops, kept, 0, low.origin))


def _address(low: Lowering, offset: int) -> int:
    """A register with the address ``offset`` bytes above the stack pointer."""
    calls = low.isa.calls
    if offset >= calls.reach:
        raise Unsupported(f"results at {offset} bytes")
    vreg = low.temp(INT)
    ops = [vreg, calls.stack_pointer, offset]
    kept = calls.address.operands_without((None, *ops[1:]))
    low.out.append(MInst(calls.address, ops, kept, 0, low.origin))
    return vreg


# ---- the caller's side


def emit_call(low: Lowering, inst: Inst) -> None:
    """A call by name or by address."""
    calls = low.isa.calls
    signature = callee_signature(low.function, inst)
    assert signature is not None  # the verifier's rule
    convention, _, places, results = interface_of(signature, calls.conventions)
    stack = convention.stack(places)
    area = stack_bytes(results)
    args = inst.args
    ops: list[int] = []
    callee: tuple[Operand, ...] = ()
    if inst.ref >= 0:
        row = calls.call
        ops.append(_symbol(low, inst.ref))
    else:
        row = calls.call_indirect
        ops.append(low.use(args[0]))
        args, callee = args[1:], row.operands
    if convention.pops and stack:
        row = calls.call_popped if inst.ref >= 0 else calls.call_indirect_popped
        ops.append(stack)
    pointer = _address(low, stack) if area else -1
    uses, registers, classes = _pass(low, args, signature.params, convention, places, pointer, 0)
    defs: list[int] = []
    def_registers: list[int] = []
    def_classes: list[int] = []
    loads: list[tuple[Type, int, int]] = []
    given = iter(results)
    for value, param in zip(inst.results, signature.returns, strict=True):
        type_, vreg = param.type, low.result(value)
        for word in (vreg, vreg + 1) if type_ is I128 else (vreg,):
            place = next(given)
            if place >= 0:
                defs.append(word)
                def_registers.append(place)
                def_classes.append(FLOAT if type_.is_float else INT)
            else:
                loads.append((convention.slot(type_), word, stack - 1 - place))
    operands = _operands(len(ops), registers, classes, tuple(def_registers), tuple(def_classes))
    low.out.append(
        MInst(row, [*ops, *uses, *defs], callee + operands, convention.clobbers, low.origin)
    )
    for slot, vreg, offset in loads:
        _access(low, calls.loads[slot], slot, vreg, offset, calls.stack_pointer)
    low.vcode.outgoing = max(low.vcode.outgoing, stack + area)
    low.vcode.clobbers |= convention.clobbers


def extends_alike(own: Signature, callee: Signature) -> bool:
    """Does the callee extend its results as ``own`` promises to? Types alone are what the verifier compares."""
    return all(
        mine.extension in ("", theirs.extension)
        for mine, theirs in zip(own.returns, callee.returns, strict=True)
    )


def emit_tail_call(low: Lowering, inst: Inst) -> None:
    """A call by name or by address instead of a return. Both functions are of a convention that pops."""
    calls = low.isa.calls
    signature = callee_signature(low.function, inst)
    assert signature is not None  # the verifier's rule
    convention, _, places, _ = interface_of(signature, calls.conventions)
    if convention.sret_result >= 0 and _sret(low.function.signature) >= 0:
        raise Unsupported("a tail call in place of a pointer to results")
    if not extends_alike(low.function.signature, signature):
        raise Unsupported("a tail call of a function that does not extend its results")
    given, taken = stack_bytes(places), _taken(low)
    pointer = area_pointer(low)
    args = inst.args
    callee: tuple[Operand, ...] = ()
    if inst.ref >= 0:
        row, target = calls.return_call, _symbol(low, inst.ref)
    else:
        row, target, args = calls.return_call_indirect, low.use(args[0]), args[1:]
        callee = (Operand(0, USE, INT, fixed=calls.tail_target),)
    room = calls.linkage if given or taken else 0
    uses, registers, classes = _pass(low, args, signature.params, convention, places, pointer, room)
    ops = [target, given, taken]
    operands = _operands(len(ops), registers, classes, (), ())
    low.out.append(MInst(row, [*ops, *uses], callee + operands, 0, low.origin))
    low.vcode.outgoing = max(low.vcode.outgoing, room + given)


def _pass(
    low: Lowering,
    args: tuple[int, ...],
    params: tuple[AbiParam, ...],
    convention: Convention,
    places: list[Place],
    pointer: int,
    room: int,
) -> tuple[list[int], tuple[int, ...], tuple[int, ...]]:
    """Store the stack arguments, from ``room`` bytes above the stack pointer; the virtual registers of the others,
    where they go, and their classes. ``pointer``: the register with the one to the area of results, or -1."""
    calls = low.isa.calls
    uses: list[int] = []
    registers: list[int] = []
    classes: list[int] = []
    words = chain(
        _given(low, args, params, calls.extends), ((I64, pointer),) if pointer >= 0 else ()
    )
    for (type_, vreg), place in zip(words, places, strict=True):
        if place >= 0:
            uses.append(vreg)
            registers.append(place)
            classes.append(FLOAT if type_.is_float else INT)
        else:
            slot = convention.slot(type_)
            offset = room - 1 - place
            _access(low, calls.stores[slot], slot, vreg, offset, calls.stack_pointer)
    return uses, tuple(registers), tuple(classes)


# ---- the callee's side


def lower_arguments(low: Lowering) -> None:
    """Define the parameters that are used: those in registers by one pseudo instruction, the rest by loads."""
    calls, own = low.isa.calls, low.own
    params = low.function.entry.params
    if not params and low.area < 0:
        return
    arguments = [(low.types[value], low.found(value)) for value in params]
    if len(own.params) > len(arguments):
        arguments.append((I64, low.area))
    places = iter(own.arguments)
    vregs: list[int] = []
    registers: list[int] = []
    classes: list[int] = []
    loads: list[tuple[Type, int, int]] = []
    for type_, first in arguments:
        for word in (first, first + 1) if type_ is I128 else (first,):
            place = next(places)
            if first < 0:
                continue
            if place >= 0:
                vregs.append(word)
                registers.append(place)
                classes.append(FLOAT if type_.is_float else INT)
            else:
                loads.append((own.convention.slot(type_), word, calls.linkage - 1 - place))
    if vregs:
        operands = _operands(0, (), (), tuple(registers), tuple(classes))
        low.out.append(MInst(calls.args, vregs, operands))
    for slot, vreg, offset in loads:
        _access(low, calls.loads[slot], slot, vreg, offset, calls.frame_pointer)


def area_pointer(low: Lowering) -> int:
    """The register with the pointer to where this function's results go; -1 if they fit in registers.

    It is a parameter without a value: whoever asks for it makes :meth:`Lowering.run` define it.
    """
    if low.area < 0 and len(low.own.params) > len(low.function.signature.params):
        low.area = low.temp(INT)
    return low.area


def _taken(low: Lowering) -> int:
    """The bytes of this function's own stack arguments, if it pops them."""
    if not low.own.convention.pops:
        return 0
    taken = stack_bytes(low.own.arguments)
    if taken > _MAX_POPPED:
        raise Unsupported(f"{len(low.own.params)} parameters of a function that pops them")
    return taken


def emit_return(low: Lowering, inst: Inst) -> None:
    """The results in their registers, and in the area of results, extended as the signature promises."""
    calls = low.isa.calls
    signature = low.function.signature
    convention, _, _, places = low.own
    pointer = area_pointer(low)
    uses: list[int] = []
    registers: list[int] = []
    classes: list[int] = []
    words = _given(low, inst.args, signature.returns, calls.extends)
    for (type_, vreg), place in zip(words, places, strict=True):
        if place >= 0:
            uses.append(vreg)
            registers.append(place)
            classes.append(FLOAT if type_.is_float else INT)
        else:
            slot = convention.slot(type_)
            _access(low, calls.stores[slot], slot, vreg, -1 - place, pointer)
    if convention.sret_result >= 0 and (given := _sret(signature)) >= 0:
        if signature.returns:
            raise Unsupported("results beside a parameter for sret")
        uses.append(low.use(low.function.entry.params[given]))
        registers.append(convention.sret_result)
        classes.append(INT)
    taken = _taken(low)
    if taken:
        row, ops = calls.ret_pop, [taken, *uses]
    else:
        row, ops = calls.ret, uses
    operands = _operands(len(ops) - len(uses), tuple(registers), tuple(classes), (), ())
    low.out.append(MInst(row, ops, operands, 0, low.origin))


def _sret(signature: Signature) -> int:
    """The number of the parameter for sret, or -1."""
    purposes = [param.purpose for param in signature.params]
    return purposes.index("sret") if "sret" in purposes else -1


def _symbol(low: Lowering, ref: int) -> int:
    low.vcode.symbols[ref] = low.function.functions[ref].name
    return ref


def emit_func_addr(low: Lowering, inst: Inst) -> None:
    """A function's address: a distance from here if the function is near, else a constant."""
    near = low.function.functions[inst.ref].colocated
    row = low.isa.calls.near_func_addr if near else low.isa.calls.func_addr
    vreg = low.result(inst.results[0])
    low.out.append(MInst(row, [vreg, _symbol(low, inst.ref)], None, 0, low.origin))
