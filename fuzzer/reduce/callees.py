"""The reducer's passes over what a function calls: fewer functions, fewer parameters and results of each, of one's own
and from outside.

A callee's own code is reduced by the ordinary passes, those that leave signature and inputs alone, on the case with
the two functions exchanged (:func:`turned`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from backend.ir.entities import AbiParam, Block, Function, Inst, Signature
from backend.ir.opcodes import opcode_named
from fuzzer.case import Case
from fuzzer.reduce import edit, passes, simplify
from fuzzer.reduce.reducer import Reducer

_FUNC_ADDR: Final = opcode_named("func_addr")
_RETURN: Final = opcode_named("return")


def turned(case: Case, number: int) -> Case:
    """The case with its function and ``others[number]`` exchanged; twice is the same case again."""
    others = list(case.others)
    function, others[number] = others[number], case.function
    return Case(function, case.inputs, isa=case.isa, memory=case.memory, options=case.options,
                others=others)  # fmt: skip


def fewer(reducer: Reducer) -> None:
    """Fewer functions: none that calls the case's own, none at all, or without one after another."""
    if not reducer.attempt(_estrange):
        reducer.attempt(_understudy)
    if reducer.attempt(_drop_all):
        return
    for number in range(len(reducer.best.others) - 1, -1, -1):
        reducer.attempt(partial(_drop, number=number))


def callees(reducer: Reducer) -> None:
    """Everything about the functions that are called."""
    fewer(reducer)
    for number in range(len(reducer.best.others)):
        reducer.turned(number, _INSIDE)
    for name in dict.fromkeys(
        ref.name for each in reducer.best.functions for ref in each.functions.values()
    ):
        for change, count in ((_drop_param, len(_signature(reducer.best, name).params)),
                              (_drop_result, len(_signature(reducer.best, name).returns))):  # fmt: skip
            for index in range(count - 1, -1, -1):
                reducer.attempt(partial(change, name=name, index=index))
        reducer.attempt(partial(_plain, name=name))
        reducer.attempt(partial(_usual, name=name))


_INSIDE: Final[Sequence[Callable[[Reducer], None]]] = (
    passes.branches, passes.edges, passes.instructions, passes.block_params, passes.operands, simplify.numbers,
    simplify.opcodes,
)  # fmt: skip


def _estrange(case: Case) -> bool:
    """Who is called by the name of the case's function is somebody from outside: what recurs needs a way to end."""
    return bool(_recast(case, outside=True))


def _understudy(case: Case) -> bool:
    """Who is called by the name of the case's function is a new function that returns zeros."""
    name = _recast(case, outside=False)
    if not name:
        return False
    signature = case.function.signature
    new = Function(name, signature)
    entry = Block(0)
    entry.params = [new.new_value(param.type) for param in signature.params]
    new.blocks = [entry]
    results = tuple([edit.constant(new, param.type) for param in signature.returns])
    entry.insts.append(Inst(_RETURN, None, results))
    case.others = [*case.others, new]
    return True


def _recast(case: Case, outside: bool) -> str:
    """Have the calls of the case's function by its name go to somebody else; the new name, "" if there are none."""
    taken = {function.name for function in case.functions} | {
        ref.name for function in case.functions for ref in function.functions.values()
    }
    stranger = next(
        name for number in range(len(taken) + 1) if (name := f"%h{number}") not in taken
    )
    changed = False
    for function in case.functions:
        for number, ref in function.functions.items():
            if ref.name == case.function.name:
                colocated = ref.colocated and not outside
                function.functions[number] = ref._replace(name=stranger, colocated=colocated)
                changed = True
    return stranger if changed else ""


def _drop_all(case: Case) -> bool:
    found = bool(case.others)
    case.others = []
    return found


def _drop(case: Case, number: int) -> bool:
    """Without the function: it is uncalled, or from outside then."""
    del case.others[number]
    return True


def _signature(case: Case, name: str) -> Signature:
    for function in case.functions:
        for ref in function.functions.values():
            if ref.name == name:
                return ref.sig if isinstance(ref.sig, Signature) else function.signatures[ref.sig]
    return Signature()


def _without(params: tuple[AbiParam, ...], index: int) -> tuple[AbiParam, ...]:
    return params[:index] + params[index + 1 :]


def _drop_param(case: Case, name: str, index: int) -> bool:
    old = _signature(case, name)
    if index >= len(old.params):
        return False
    new = Signature(_without(old.params, index), old.returns, old.callconv)
    for function in case.functions:
        for inst in _redeclared(function, name, new):
            at = index + (inst.ref < 0)
            inst.args = inst.args[:at] + inst.args[at + 1 :]
        if function.name == name:
            value = function.entry.params.pop(index)
            function.signature = new
            if function is case.function:
                case.inputs = [row[:index] + row[index + 1 :] for row in case.inputs]
            zero = edit.constant(function, function.value_types[value])
            edit.replace_values(function, {value: zero})
    return True


def _drop_result(case: Case, name: str, index: int) -> bool:
    old = _signature(case, name)
    if index >= len(old.returns):
        return False
    new = Signature(old.params, _without(old.returns, index), old.callconv)
    for function in case.functions:
        for inst in _redeclared(function, name, new):
            value = inst.results[index]
            inst.results = inst.results[:index] + inst.results[index + 1 :]
            zero = edit.constant(function, function.value_types[value])
            edit.replace_values(function, {value: zero})
        if function.name == name:
            function.signature = new
            for inst in function.instructions():
                if inst.op.name == "return":
                    inst.args = inst.args[:index] + inst.args[index + 1 :]
    return True


def _plain(case: Case, name: str) -> bool:
    """No extensions."""
    old = _signature(case, name)
    new = Signature(tuple([AbiParam(p.type, "", p.purpose) for p in old.params]),
                    tuple([AbiParam(p.type) for p in old.returns]), old.callconv)  # fmt: skip
    if new == old:
        return False
    for function in case.functions:
        _redeclared(function, name, new)
        if function.name == name:
            function.signature = new
    return True


def _usual(case: Case, name: str) -> bool:
    """Of no calling convention of its own."""
    old = _signature(case, name)
    if not old.callconv:
        return False
    new = Signature(old.params, old.returns)
    for function in case.functions:
        _redeclared(function, name, new)
        if function.name == name:
            function.signature = new
    return True


def _redeclared(function: Function, name: str, signature: Signature) -> list[Inst]:
    """Declare the callee ``name`` with ``signature``: the calls of it in ``function``, by name and by address."""
    numbers = {number for number, ref in function.functions.items() if ref.name == name}
    for number in numbers:
        function.functions[number] = function.functions[number]._replace(sig=signature)
    insts = list(function.instructions())
    addresses = {
        value for inst in insts if inst.op is _FUNC_ADDR and inst.ref in numbers for value in inst.results
    }  # fmt: skip
    calls = []
    for inst in insts:
        if inst.op.shape == "call" and inst.ref in numbers:
            calls.append(inst)
        elif inst.op.shape == "call_indirect" and inst.args[0] in addresses:
            number = max(function.signatures, default=-1) + 1
            function.signatures[number] = signature
            inst.sig = number
            calls.append(inst)
    return calls
