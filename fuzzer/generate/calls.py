"""Calls: of functions that were drawn before the caller, of functions from outside the case, and of the caller itself.

What keeps them defined and short: a function calls only those drawn before it, but for those of its *ring*, which may
call each other and themselves. Each of a ring has a parameter, its fuel, of which it takes the low bits; a call
within the ring is made only if that is not 0, and passes less. So an end comes whatever was passed, and if the reducer
takes the count away, the reference's own bound is left. Loops make few trips, and only loops of few trips call, none
of them within the ring. Floats go in with closed bits (:meth:`fuzzer.generate.draft.Draft.closed`) and come
back open; the address of a function is never put among the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.ir.entities import AbiParam, BlockCall, Function, FunctionRef, Inst, Signature, Value
from backend.ir.opcodes import Opcode, opcode_named
from backend.ir.types import I32, I64, Type
from fuzzer.case import DATA_BASE
from fuzzer.generate.operations import EXTENSIONS, MAX_DEPTH, Operation
from fuzzer.generate.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from fuzzer.generate.draft import Draft

CALLEE: Final = 108
"""Span label of a function that may be called."""
CALLEE_TRIPS: Final = 16
"""Trips that the loops around a call may make, and those that a callee's loops can't."""
TAIL: Final = "tail"
"""The calling convention of functions that may end in a call."""

_CALL: Final = opcode_named("call")
_CALL_INDIRECT: Final = opcode_named("call_indirect")
_RETURN_CALL: Final = opcode_named("return_call")
_RETURN_CALL_INDIRECT: Final = opcode_named("return_call_indirect")
_FUNC_ADDR: Final = opcode_named("func_addr")
_BRIF: Final = opcode_named("brif")
_JUMP: Final = opcode_named("jump")
_BAND: Final = opcode_named("band")
_ISUB: Final = opcode_named("isub")
_USHR: Final = opcode_named("ushr")

_MOST_FUEL: Final = 7
"""Calls within a ring that may be in each other; a mask."""


class Callee(NamedTuple):
    """A function that may be called. ``pointer``: the parameter that takes the data region's address, or -1;
    ``outside``: it is from outside the case; ``fuel``: the parameter that bounds its recursion, or -1."""

    name: str
    signature: Signature
    pointer: int
    outside: bool
    fuel: int = -1


def own(function: Function, pointer: int) -> Callee:
    """A function of the case as one that may be called."""
    return Callee(function.name, function.signature, pointer, False)


def draw_convention(source: Source, names: Sequence[str], chance: float) -> str:
    """The first of ``names``, or with ``chance`` one of the others, of which the earlier ones come more often."""
    if len(names) < 2 or not source.bool(chance):
        return names[0]
    return names[1 + source.int(0, source.int(0, len(names) - 2))]


def draw_plan(
    source: Source, name: str, types: Sequence[Type], fits_results: Callable[[list[Type]], bool], *,
    parameters: int, memory: bool, globals_: bool, callconv: str,
) -> Callee:  # fmt: skip
    """The signature of a function that recurs, which must be known before its body. ``parameters``: how many it may
    have besides pointer and fuel; ``memory``: it needs the data region; ``globals_``: may the region be its context?"""
    params: list[AbiParam] = []
    pointer = -1
    if memory or source.bool(0.4):
        pointer = 0
        params.append(AbiParam(I64, "", "vmctx" if globals_ and source.bool(0.25) else ""))
    fuel = len(params)
    params.append(AbiParam(I32))
    while len(params) < min(16, fuel + 1 + parameters) and source.bool(0.7):
        params.append(_param(source, types))
    returns: list[AbiParam] = []
    while len(returns) < 4 and source.bool(0.8 if not returns else 0.4):
        result = _param(source, types)
        if fits_results([*(param.type for param in returns), result.type]):
            returns.append(result)
    return Callee(name, Signature(tuple(params), tuple(returns), callconv), pointer, False, fuel)


def take_fuel(g: Draft, param: Value) -> None:
    """What the function has of fuel: never much, whatever was passed."""
    g.fuel = g.emit(_BAND, I32, (param, g.constant(I32, _MOST_FUEL)))


def chance_of_results(source: Source) -> float:
    """Of one more result: mostly there are few, now and then more than there are registers for."""
    return 0.9 if source.bool(0.1) else 0.7


def draw_outside(
    source: Source, name: str, types: Sequence[Type], fits_results: Callable[[list[Type]], bool],
    callconv: str,
) -> Callee:  # fmt: skip
    """A function from outside: up to 16 parameters and 12 results of ``types``."""
    params: list[AbiParam] = []
    returns: list[AbiParam] = []
    while len(params) < 16 and source.bool(0.75):
        params.append(_param(source, types))
    chance = chance_of_results(source)
    while len(returns) < 12 and source.bool(chance):
        result = _param(source, types)
        if fits_results([*(param.type for param in returns), result.type]):
            returns.append(result)
    return Callee(name, Signature(tuple(params), tuple(returns), callconv), -1, True)


def _param(source: Source, types: Sequence[Type]) -> AbiParam:
    type_ = types[source.int(0, 15) % len(types)]
    if type_.is_float or type_.bits >= 64:
        return AbiParam(type_)
    return AbiParam(type_, EXTENSIONS[source.int(0, len(EXTENSIONS) - 1)])


def call(g: Draft, operation: Operation) -> None:
    """A call, by name or by address, of any function there is."""
    if may_recur(g) and g.source.bool(0.5):
        recur(g)
        return
    if not g.callees or g.trips > CALLEE_TRIPS:
        g.add()
        return
    callee = g.callees[g.source.int(0, 7) % len(g.callees)]
    signature = callee.signature
    results = tuple([g.new(param.type) for param in signature.returns])
    _emit(g, callee, _CALL, _CALL_INDIRECT, results)
    for value, param in zip(results, signature.returns, strict=True):
        g.scope[param.type].append(value)
        if param.type.is_float and not callee.outside:
            g.open.add(value)


def may_recur(g: Draft) -> bool:
    """Is this a place for a call within the ring? Outside of loops, and not too many times."""
    return bool(g.ring) and g.sites < g.limits.sites and g.trips == g.first_trips and g.depth < MAX_DEPTH  # fmt: skip


def recur(g: Draft) -> None:
    """A call within the ring, if there is fuel; otherwise some values in the place of its results.

    The first call has one unit less to spend and the others half of what there is, so that the calls do not add up to
    a power of their number. Now and then it is in the place of a return.
    """
    assert g.fuel is not None
    source = g.source
    callee = g.ring[source.int(0, 3) % len(g.ring)]
    signature, own = callee.signature, g.ring[0].signature
    tail = (signature.callconv, signature.returns) == (TAIL, own.returns) and own.callconv == TAIL
    tail = tail and source.bool(0.4)
    types = [] if tail else [param.type for param in signature.returns]
    instead = tuple([g.operand(type_) for type_ in types])
    branch = Inst(_BRIF, None, (g.fuel,))
    g.insts.append(branch)
    then = g.open_block()
    less = g.emit(_USHR if g.sites else _ISUB, I32, (g.fuel, g.constant(I32, 1)))
    g.sites += 1
    if tail:
        _emit(g, callee, _RETURN_CALL, _RETURN_CALL_INDIRECT, (), less)
        after = g.open_block()
    else:
        results = tuple([g.new(type_) for type_ in types])
        _emit(g, callee, _CALL, _CALL_INDIRECT, results, less)
        jump = Inst(_JUMP, None, targets=(BlockCall(-1, results),))
        g.insts.append(jump)
        after = g.open_block(types)
        jump.targets[0].block = after.id
    branch.targets = (BlockCall(then.id), BlockCall(after.id, instead))


def tail_call(g: Draft, convention: str) -> tuple[AbiParam, ...] | None:
    """Perhaps a call in the place of a return, in a function of a ``convention`` that has them: what the callee
    returns, and so the caller."""
    callees = [c for c in g.callees if c.signature.callconv == convention == TAIL]
    if g.ring:
        callees = [c for c in callees if c.signature.returns == g.ring[0].signature.returns]
    if not callees or not g.source.bool(0.5):
        return None
    callee = callees[g.source.int(0, 7) % len(callees)]
    _emit(g, callee, _RETURN_CALL, _RETURN_CALL_INDIRECT, ())
    return callee.signature.returns


def _emit(
    g: Draft,
    callee: Callee,
    direct: Opcode,
    by_address: Opcode,
    results: tuple[Value, ...],
    fuel: Value = -1,
) -> None:
    """``fuel``: what to pass for it, -1 for anything."""
    source, signature = g.source, callee.signature
    args = []
    for place, param in enumerate(signature.params):
        if place == callee.pointer:
            pointer = g.pointer
            args.append(g.constant(I64, DATA_BASE) if pointer is None else pointer)
        elif place == callee.fuel and fuel >= 0:
            args.append(fuel)
        else:
            args.append(g.closed(g.operand(param.type)))
    indirect = source.bool(0.25)
    near = not callee.outside and source.bool(0.3)
    number = _declared(g.function, FunctionRef(callee.name, signature, near))
    if indirect:
        address = g.emit(_FUNC_ADDR, I64, (), ref=number)
        kind = _signature(g.function, signature)
        g.insts.append(Inst(by_address, None, (address, *args), results, sig=kind))
    else:
        g.insts.append(Inst(direct, None, tuple(args), results, ref=number))


def _declared(function: Function, ref: FunctionRef) -> int:
    """The number of the declaration in ``function``, made if it is new."""
    for number, known in function.functions.items():
        if known == ref:
            return number
    function.functions[len(function.functions)] = ref
    return len(function.functions) - 1


def _signature(function: Function, signature: Signature) -> int:
    for number, known in function.signatures.items():
        if known == signature:
            return number
    function.signatures[len(function.signatures)] = signature
    return len(function.signatures) - 1
