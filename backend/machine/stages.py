"""The printed stages between CLIF and bytes: VCode before and after allocation, and the bytes.

A line reads ``%3 = add_rr.x %1, %2``: results, row, other operands in the row's order. After allocation the
registers stand there, and the allocator's moves are lines of their own: ``x1 <- spill0``.
"""

from __future__ import annotations

from backend.machine.buffer import Finished
from backend.machine.registers import FIRST_VREG, MachineEnv
from backend.machine.rows import BRANCH, JUMP, Row
from backend.machine.vcode import DEF, EARLY_DEF, Allocation, MInst, VCode


def print_instruction(inst: MInst, registers: list[int], env: MachineEnv) -> str:
    """One instruction over ``registers``, those of its operands in their order."""
    row: Row = inst.row  # type: ignore[assignment]  # the protocol's only implementation
    shown = [str(op) for op in inst.ops]
    for i, field in enumerate(row.fields):
        if field.kind.cls >= 0:
            shown[i] = env.name(inst.ops[i])
    if row.flow == JUMP:
        shown[0] = f"block{inst.ops[0]}"
    elif row.flow == BRANCH:
        at = inst.ops[row.label]
        shown[row.label] = f"block{at}" if at >= 0 else f"trap{-1 - at}"
        shown[-1] = f"block{inst.ops[-1]}" if at >= 0 else "next"
    defined = set()
    for operand, register in zip(inst.operands, registers, strict=True):
        shown[operand.index] = env.name(register) + (
            f"@{env.names[operand.fixed]}" if operand.fixed >= 0 and register >= FIRST_VREG else ""
        )
        if operand.role in (DEF, EARLY_DEF):
            defined.add(operand.index)
    results = ", ".join(shown[i] for i in sorted(defined))
    others = ", ".join(text for i, text in enumerate(shown) if i not in defined)
    return (f"{results} = " if results else "") + f"{row.name} {others}".rstrip()


def print_vcode(vcode: VCode, env: MachineEnv) -> str:
    """VCode over virtual registers."""
    return _blocks(vcode, None, env)


def print_allocated(vcode: VCode, allocation: Allocation, env: MachineEnv) -> str:
    """VCode over locations, with the allocator's moves."""
    return _blocks(vcode, allocation, env)


def _blocks(vcode: VCode, allocation: Allocation | None, env: MachineEnv) -> str:
    lines = [vcode.name]
    index = 0
    for number, block in enumerate(vcode.blocks):
        params = ""
        if allocation is None and block.params:
            params = "(" + ", ".join(map(env.name, block.params)) + ")"
        lines.append(f"block{number}{params}:{' cold' if block.cold else ''}")
        for inst in block.insts:
            if allocation is None:
                registers = [inst.ops[operand.index] for operand in inst.operands]
            else:
                registers = allocation.locations[index]
                lines += [f"        {env.name(to)} <- {env.name(source)}"
                          for to, source in allocation.edits.get(index, ())]  # fmt: skip
            lines.append(f"    {print_instruction(inst, registers, env)}")
            index += 1
        if allocation is None and block.args:
            lines[-1] += "(" + ", ".join(map(env.name, block.args)) + ")"
    return "\n".join(lines) + "\n"


def print_bytes(finished: Finished) -> str:
    """Every item of the buffer on a line: offset, bytes in memory order, what it is."""
    code = finished.code
    lines = []
    for offset, size, what in finished.audit.spans:
        shown = code[offset : offset + min(size, 16)].hex() + ("..." if size > 16 else "")
        lines.append(f"{finished.base + offset:6x}:  {shown}  {what}")
    return "\n".join(lines) + "\n"
