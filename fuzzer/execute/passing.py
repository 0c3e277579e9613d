"""Where the values of a signature are passed: registers and stack slots, in pieces of 64 bits.

The rules of AAPCS64 (Procedure Call Standard for the Arm 64-bit Architecture, 6.8.2, stage C; the i128's are C.8 to
C.11) and of the System V ABI (AMD64 Architecture Processor Supplement, 3.2.3; an i128 is two INTEGER eightbytes)
agree in these:

- a float goes to the next float register, then to the stack in a slot of 8 bytes;
- an integer of up to 64 bits goes to the next integer register, then to a slot;
- an i128 takes two integer registers, the lower half first; where two are not left it goes to the stack, aligned to
  16 bytes.

They differ in the i128. AAPCS64 begins it at a register of even number, and after one that went to the stack no integer
register is used any more. System V takes any two, and a register that was left goes to a later integer (so do
GCC 12 and LLVM 22).

Results are passed as if they were arguments, each on its own: a CLIF function has several, which the
standards would return in memory. That is what Cranelift does too (``compute_arg_locs`` of its ABIs), with one
difference, in arguments on AArch64: it still hands out x7 after an i128 that did not fit. The standard counts here.

Results for which no register is left are laid out as stack arguments are, in an area whose address the caller passes
as one more integer, the last (Cranelift's way for functions of several results).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import I64
from fuzzer.execute.machines import Machine


class Piece(NamedTuple):
    """64 bits of a value. ``value``: which one; ``shift``: where they begin in it; ``mask``: those that count.

    ``register``: the place among the integer registers, behind which the machine's own for ``sret`` comes, or among the
    float ones if ``is_float``; -1: on the stack, at byte ``offset`` from SP.
    """

    value: int
    shift: int
    mask: int
    is_float: bool
    register: int
    offset: int


CONVENTIONS: Final[dict[str, bool]] = {
    "": False, "system_v": False, "fast": False, "cold": False, "tail": True,
}  # fmt: skip
"""The calling conventions by name: has a function, when it returns, taken its stack arguments off the stack?"""


class Passing(NamedTuple):
    """How a signature's values are passed. ``args``: the pieces of the arguments, of which the pointer to the area of
    results is one more, if ``area``, the area's bytes, is not 0; ``stack``: bytes of the stack arguments. In
    ``results`` an offset is one in the area. ``popped``: by how much SP is higher after the return. ``given_back``: is
    the first argument given back in the first register of results?"""

    args: list[Piece]
    stack: int
    results: list[Piece]
    area: int
    popped: int
    given_back: bool


def passing(signature: Signature, machine: Machine) -> Passing:
    """ValueError for a type or a calling convention that is not known."""
    pops = CONVENTIONS.get(signature.callconv)
    if pops is None:
        raise ValueError(f"calling convention {signature.callconv}")
    m = machine
    for number, param in enumerate((*signature.params, *signature.returns)):
        if param.purpose == "vmctx" and number < len(signature.params):
            continue  # an argument like any other
        sret = param.purpose == "sret" and param.type is I64 and number < len(signature.params)
        if param.purpose and not (sret and (m.sret >= 0 or (not number and not signature.returns))):
            raise ValueError(f"a parameter for {param.purpose}")
    given_back = m.sret < 0 and any(param.purpose == "sret" for param in signature.params)
    results, area = pieces(signature.returns, m, len(m.results), len(m.float_results))
    params = (*signature.params, AbiParam(I64)) if area else signature.params
    args, stack = pieces(params, m, len(m.arguments), len(m.float_arguments))
    popped = stack + 15 & ~15 if pops else 0
    return Passing(args, stack, results, area + 15 & ~15, popped, given_back)


def pieces(
    params: tuple[AbiParam, ...], machine: Machine, ints: int, floats: int
) -> tuple[list[Piece], int]:
    """The pieces of ``params`` in order, and the bytes they take on the stack.

    ``ints``, ``floats``: how many registers of each class there are. ValueError for a type that can't be passed.
    """
    made: list[Piece] = []
    next_int = next_float = stack = 0
    for index, param in enumerate(params):
        type_ = param.type
        if param.purpose == "sret" and machine.sret >= 0:
            made.append(Piece(index, 0, type_.mask, False, ints, 0))
            continue
        if type_.is_int and type_.bits == 128 and machine.pairs:
            if machine.even_pairs:
                next_int += next_int & 1
            register, offset = next_int, 0
            if next_int + 2 <= ints:
                next_int += 2
            else:
                if machine.even_pairs:
                    next_int = ints
                register, offset = -1, stack + 15 & ~15
                stack = offset + 16
            for half in (0, 1):
                at = register + half if register >= 0 else -1
                made.append(Piece(index, 64 * half, (1 << 64) - 1, False, at, offset + 8 * half))
            continue
        is_float = type_.is_float and type_.bits in (32, 64) and bool(machine.float_arguments)
        if not is_float and not (type_.is_int and type_.bits <= 64):
            raise ValueError(f"a parameter or result of type {type_.name}")
        register = next_float if is_float else next_int
        if register < (floats if is_float else ints):
            next_float += is_float
            next_int += not is_float
            made.append(Piece(index, 0, type_.mask, is_float, register, 0))
        else:
            made.append(Piece(index, 0, type_.mask, is_float, -1, stack))
            stack += machine.stack_slot
    return made, stack
