"""The reducer's passes. Each walks over the best case so far and attempts edits; one thing a pass.

A pass looks positions up again after each success, since the function it walks over has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from backend.ir.entities import (
    AbiParam,
    BlockCall,
    Function,
    Inst,
    Signature,
    Value,
)
from backend.ir.opcodes import opcode_named
from backend.ir.types import Type
from fuzzer.case import Case
from fuzzer.reduce import edit
from fuzzer.reduce.reducer import Reducer
from fuzzer.reduce.simplify import at, numbers, opcodes, positions, simpler, widths

_FEW: Final = 16
"""Instructions of a function in which each is tried as a parameter."""


def inputs(reducer: Reducer) -> None:
    """Fewer inputs, of simpler values."""
    for keep in range(len(reducer.best.inputs)):

        def only(case: Case, keep: int = keep) -> bool:
            if len(case.inputs) < 2:
                return False
            case.inputs = [case.inputs[keep]]
            return True

        if reducer.attempt(only):
            break
    index = len(reducer.best.inputs) - 1
    while index >= 0 and len(reducer.best.inputs) > 1:

        def without(case: Case, index: int = index) -> bool:
            del case.inputs[index]
            return True

        reducer.attempt(without)
        index -= 1
    for row in range(len(reducer.best.inputs)):
        for column in range(len(reducer.best.inputs[row])):
            value = reducer.best.inputs[row][column]
            for smaller in simpler(value, reducer.best.function.signature.params[column].type):

                def put(case: Case, row: int = row, column: int = column, v: int = smaller) -> bool:
                    old = case.inputs[row]
                    case.inputs[row] = (*old[:column], v, *old[column + 1 :])
                    return True

                if reducer.attempt(put):
                    break


def options(reducer: Reducer) -> None:
    """Options back to their defaults."""
    for name in list(reducer.best.options):
        reducer.attempt(partial(_default, name=name))


def _default(case: Case, name: str) -> bool:
    return case.options.pop(name, None) is not None


def memory(reducer: Reducer) -> None:
    """No data region, or one of zeros, or one with fewer bytes set."""

    def image(data: bytes) -> Callable[[Case], bool]:
        def change(case: Case) -> bool:
            different = case.memory != data
            case.memory = data
            return different

        return change

    size = len(reducer.best.memory)
    if not size or reducer.attempt(image(b"")) or reducer.attempt(image(bytes(size))):
        return
    chunk = size // 2
    while chunk >= 8:
        for start in range(0, size, chunk):
            now = reducer.best.memory
            if any(now[start : start + chunk]):
                reducer.attempt(image(now[:start] + bytes(chunk) + now[start + chunk :]))
        chunk //= 2


def branches(reducer: Reducer) -> None:
    """A branch becomes a jump to one of its targets, or the end of the function."""
    position = 0
    while position < len(reducer.best.function.blocks):
        last = reducer.best.function.blocks[position].terminator
        for choice in range(len(last.targets)):

            def take(case: Case, position: int = position, choice: int = choice) -> bool:
                block = case.function.blocks[position]
                targets = block.terminator.targets
                if choice >= len(targets) or block.terminator.op.name == "jump":
                    return False
                block.insts[-1] = edit.jump_to(targets[choice])
                return True

            if reducer.attempt(take):
                break
        if position < len(reducer.best.function.blocks):
            reducer.attempt(partial(_leave, position=position))
            _shorten_table(reducer, position)
        position += 1


def _leave(case: Case, position: int) -> bool:
    function = case.function
    block = function.blocks[position]
    if block.terminator.op.name == "return":
        return False
    zeros = tuple(edit.constant(function, r.type) for r in function.signature.returns)
    block.insts[-1] = Inst(opcode_named("return"), None, zeros)
    return True


def _shorten_table(reducer: Reducer, position: int) -> None:
    if position >= len(reducer.best.function.blocks):
        return
    count = len(reducer.best.function.blocks[position].terminator.targets)
    for index in range(count - 1, 0, -1):

        def cut(case: Case, index: int = index) -> bool:
            inst = case.function.blocks[position].terminator
            if inst.op.name != "br_table" or index >= len(inst.targets):
                return False
            inst.targets = inst.targets[:index] + inst.targets[index + 1 :]
            return True

        reducer.attempt(cut)


def edges(reducer: Reducer) -> None:
    """An edge goes past its block, to what that block leads to; or to any other block, with zeros."""
    number = 0
    while number < len(_edges(reducer.best.function)):
        call = _edges(reducer.best.function)[number]
        function = reducer.best.function
        for onward in range(len(function.block(call.block).terminator.targets)):
            if reducer.attempt(partial(_thread, number=number, onward=onward)):
                break
        else:
            for block in range(len(function.blocks) - 1, 0, -1):
                if reducer.attempt(partial(_retarget, number=number, block=block)):
                    break
        number += 1


def _edges(function: Function) -> list[BlockCall]:
    return [call for block in function.blocks for call in block.terminator.successors()]


def _thread(case: Case, number: int, onward: int) -> bool:
    function = case.function
    call = _edges(function)[number]
    block = function.block(call.block)
    target = block.terminator.targets[onward]
    passed = dict(zip(block.params, call.args, strict=True))
    local = {v for inst in block.insts for v in inst.results}
    call.args = tuple(
        edit.constant(function, function.value_types[arg]) if arg in local else passed.get(arg, arg)
        for arg in target.args
    )
    call.block = target.block
    return True


def _retarget(case: Case, number: int, block: int) -> bool:
    function = case.function
    call, target = _edges(function)[number], function.blocks[block]
    if call.block == target.id:
        return False
    call.args = tuple(edit.constant(function, function.value_types[p]) for p in target.params)
    call.block = target.id
    return True


_STAND_INS: Final = ("zero", "operand 0", "operand 1", "operand 2", "parameter")


def instructions(reducer: Reducer) -> None:
    """ddmin over runs of instructions; uses of what goes become something that stays."""
    chunk = max(1, reducer.best.function.instruction_count() // 2)
    while chunk:
        start = reducer.best.function.instruction_count() - chunk
        while start > -chunk:
            low = max(start, 0)
            for stand_in in _STAND_INS:
                if reducer.attempt(partial(_delete, low=low, size=chunk, how=stand_in)):
                    break
            start -= chunk
        chunk //= 2


def _delete(case: Case, low: int, size: int, how: str) -> bool:
    function = case.function
    types = function.value_types
    gone: list[Inst] = []
    position = 0
    for block in function.blocks:
        kept = []
        for inst in block.insts:
            if low <= position < low + size and not inst.op.terminator:
                gone.append(inst)
            else:
                kept.append(inst)
            position += 1
        block.insts = kept
    if not gone:
        return False
    mapping: dict[Value, Value] = {}
    used = {value for inst in function.instructions() for value in inst.uses()}
    for inst in reversed(gone):
        for result in inst.results:
            if result not in used:
                continue
            stand_in = _stand_in(function, inst, types[result], how)
            if stand_in is None:
                if size == 1:
                    return False
                stand_in = edit.constant(function, types[result])
            mapping[result] = stand_in
            used.add(stand_in)
    return edit.replace_values(function, mapping)


def _stand_in(function: Function, inst: Inst, type_: Type, how: str) -> Value | None:
    if how == "zero":
        return edit.constant(function, type_)
    pool = function.blocks[0].params if how == "parameter" else inst.args
    same = [v for v in pool if function.value_types[v] is type_]
    index = 0 if how == "parameter" else int(how[-1])
    return same[index] if index < len(same) else None


def block_params(reducer: Reducer) -> None:
    """A block's parameter becomes what one edge passes for it, or zero."""
    position = len(reducer.best.function.blocks) - 1
    while position > 0:
        if position < len(reducer.best.function.blocks):
            for index in range(len(reducer.best.function.blocks[position].params) - 1, -1, -1):
                block = reducer.best.function.blocks[position]
                if index >= len(block.params):
                    continue
                passed = edit.incoming(reducer.best.function, block, index)
                for value in (None, *dict.fromkeys(passed)):
                    if reducer.attempt(
                        partial(_drop_param, position=position, index=index, value=value)
                    ):
                        break
                if position >= len(reducer.best.function.blocks):
                    break
        position -= 1


def _drop_param(case: Case, position: int, index: int, value: Value | None) -> bool:
    function = case.function
    block = function.blocks[position]
    param = edit.drop_block_param(function, block, index)
    if not edit.is_used(function, param):
        return True
    if value is None:
        value = edit.constant(function, function.value_types[param])
    return value != param and edit.replace_values(function, {param: value})


def function_params(reducer: Reducer) -> None:
    """A parameter of the function becomes the constant that the first input passes for it."""
    index = len(reducer.best.function.signature.params) - 1
    while index >= 0:

        def drop(case: Case, index: int = index) -> bool:
            bits = case.inputs[0][index]
            param = edit.drop_function_param(case, index)
            function = case.function
            if not edit.is_used(function, param):
                return True
            value = edit.constant(function, function.value_types[param], bits)
            return edit.replace_values(function, {param: value})

        reducer.attempt(drop)
        index -= 1


def results(reducer: Reducer) -> None:
    """Fewer results."""
    index = len(reducer.best.function.signature.returns) - 1
    while index >= 0:

        def drop(case: Case, index: int = index) -> bool:
            function, signature = case.function, case.function.signature
            returns = signature.returns[:index] + signature.returns[index + 1 :]
            function.signature = Signature(signature.params, returns, signature.callconv)
            for inst in function.instructions():
                if inst.op.name == "return":
                    inst.args = inst.args[:index] + inst.args[index + 1 :]
            return True

        reducer.attempt(drop)
        index -= 1


def extensions(reducer: Reducer) -> None:
    """Parameters and results without ``uext`` and ``sext``, and ``vmctx`` where nothing is made of it: of all at once,
    or of one."""
    signature = reducer.best.function.signature
    count = len(signature.params) + len(signature.returns)
    for places in (range(count), *([place] for place in range(count))):

        def plain(case: Case, places: Sequence[int] = places) -> bool:
            signature = case.function.signature
            both = [*signature.params, *signature.returns]
            changed = both.copy()
            for place in places:
                kept = both[place].purpose if case.function.globals else ""
                changed[place] = AbiParam(both[place].type, "", kept)
            at = len(signature.params)
            case.function.signature = Signature(
                tuple(changed[:at]), tuple(changed[at:]), signature.callconv
            )
            return changed != both

        if reducer.attempt(plain) and len(places) > 1:
            return


def convention(reducer: Reducer) -> None:
    """No calling convention of the function's own."""

    def usual(case: Case) -> bool:
        signature = case.function.signature
        case.function.signature = Signature(signature.params, signature.returns)
        return signature.callconv != ""

    reducer.attempt(usual)


def operands(reducer: Reducer) -> None:
    """An operand becomes zero, a parameter, or an earlier value of its type."""
    for where in positions(reducer):
        inst = at(reducer.best, where)
        if inst is None:
            continue
        for place in range(len(inst.args)):
            for value in (None, *_candidates(reducer.best.function, inst, place)):
                if reducer.attempt(partial(_set_operand, where=where, place=place, value=value)):
                    break


def _candidates(function: Function, inst: Inst, place: int) -> list[Value]:
    if place >= len(inst.args):
        return []
    arg = inst.args[place]
    type_ = function.value_types[arg]
    params = [v for v in function.blocks[0].params if function.value_types[v] is type_]
    earlier = [v for v, t in function.value_types.items() if t is type_ and v < arg]
    return list(dict.fromkeys([*params, *earlier[:3], *earlier[-3:]]))


def _set_operand(case: Case, where: tuple[int, int], place: int, value: Value | None) -> bool:
    inst = at(case, where)
    if inst is None or place >= len(inst.args):
        return False
    function = case.function
    if value is None:
        value = edit.constant(function, function.value_types[inst.args[place]])
    if inst.args[place] == value:
        return False
    inst.args = (*inst.args[:place], value, *inst.args[place + 1 :])
    return True


def promotions(reducer: Reducer) -> None:
    """What an instruction computes becomes a parameter, of which the only input is the least number or all ones: the
    two that a division overflows with, and what else is rare."""
    if len(reducer.best.inputs) > 1 or reducer.best.function.instruction_count() > _FEW:
        return
    for where in positions(reducer):
        inst = at(reducer.best, where)
        if inst is None or len(inst.results) != 1 or inst.op in edit.ANY_CONSTANT:
            continue
        type_ = reducer.best.function.value_types[inst.results[0]]
        if type_.is_int:
            for bits in (type_.sign, type_.mask):
                if reducer.attempt(partial(_promote, where=where, bits=bits)):
                    break


def _promote(case: Case, where: tuple[int, int], bits: int) -> bool:
    inst = at(case, where)
    if inst is None or len(inst.results) != 1:
        return False
    function = case.function
    type_ = function.value_types[inst.results[0]]
    value = function.new_value(type_)
    function.blocks[0].params.append(value)
    old = function.signature
    function.signature = Signature((*old.params, AbiParam(type_)), old.returns, old.callconv)
    case.inputs = [(*row, bits) for row in case.inputs]
    del function.blocks[where[0]].insts[where[1]]
    return edit.replace_values(function, {inst.results[0]: value})


PASSES: Final = (inputs, options, memory, branches, edges, instructions, block_params,
                 function_params, results, extensions, convention, operands, promotions, numbers, opcodes,
                 widths)  # fmt: skip
"""In this order, until none of them gets anywhere: what removes most comes first."""
