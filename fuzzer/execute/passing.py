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

Apple's convention differs from AAPCS64 in the i128, which takes any two, and in the stack, where a value has the
size and the alignment of its type. Microsoft's counts arguments by their place alone, the n-th goes to the n-th
register of its class, and the stack begins with a home for the four that go to registers.

RISC-V's LP64D takes any two registers, or the last one and a slot, for an i128, and for a float that finds no float
register what an integer would get.

Results are passed as if they were arguments, each on its own and counted by class: a CLIF function has several, which
the standards would return in memory. That is what Cranelift does too (``compute_arg_locs`` of its ABIs), with one
difference, in arguments on AArch64: it still hands out x7 after an i128 that did not fit. The standard counts here
(and LLVM 22 does as it says, on Apple's platform as well).

Results for which no register is left are laid out as stack arguments are, in an area whose address the caller passes
as one more integer, the last (Cranelift's way for functions of several results). It has no home.

By a convention with a *context* all arguments and all results are in memory, and what is passed are two addresses:
a function of any signature can be called by it, whatever the registers of its ISA are. It is nobody's ABI. A compiler's
own is tested where the function that is entered so calls another.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import I64
from fuzzer.execute.conventions import Convention
from fuzzer.execute.machines import Machine

_SLOT: Final = 8
_STACK_ALIGN: Final = 16
_ANY: Final = 1 << 30
_NARROW: Final = {"boxed": (0, 0xFFFF_FFFF_0000_0000), "high": (32, 0)}


class Piece(NamedTuple):
    """64 bits of a value. ``value``: which one; ``shift``: where they begin in it; ``mask``: those that count.

    ``register``: the place among the integer registers, behind which the convention's own for ``sret`` comes, or among
    the float ones if ``is_float``; -1: on the stack, in ``size`` bytes at byte ``offset`` from SP. ``up``: bits of the
    register below it; ``ones``: bits of the register above it that have to be 1.
    """

    value: int
    shift: int
    mask: int
    is_float: bool
    register: int
    offset: int
    size: int = _SLOT
    up: int = 0
    ones: int = 0


class Passing(NamedTuple):
    """How a signature's values are passed. ``params``: the parameters, of which the pointer to the area of results is
    one more, if ``area``, the area's bytes, is not 0; ``args``: their pieces; ``stack``: bytes of the stack arguments,
    their home included. In ``results`` an offset is one in the area. ``popped``: by how much SP is higher after the
    return. ``given_back``: is the first argument given back in the first register of results? ``plain``: is each
    argument an integer in the register of its place or, where there is none, in a slot of its own?"""

    convention: Convention
    params: tuple[AbiParam, ...]
    args: list[Piece]
    stack: int
    results: list[Piece]
    area: int
    popped: int
    given_back: bool
    plain: bool


def passing(signature: Signature, machine: Machine) -> Passing:
    """ValueError for a type or a calling convention that is not known."""
    c = machine.conventions.get(signature.callconv)
    if c is None:
        raise ValueError(f"calling convention {signature.callconv}")
    if c.word:
        return _in_words(signature, c)
    ints = _integers_in_registers(signature.params, len(c.arguments))
    outs = _integers_in_registers(signature.returns, min(len(c.results), c.results_at_most))
    if ints is not None and outs is not None:
        return Passing(c, signature.params, ints, c.home, outs, 0, 0, False, not c.home)
    for number, param in enumerate((*signature.params, *signature.returns)):
        if param.purpose == "vmctx" and number < len(signature.params):
            continue  # an argument like any other
        sret = param.purpose == "sret" and param.type is I64 and number < len(signature.params)
        if param.purpose and not (sret and (c.sret >= 0 or (not number and not signature.returns))):
            raise ValueError(f"a parameter for {param.purpose}")
    given_back = (
        c.gives_back and c.sret < 0 and any(param.purpose == "sret" for param in signature.params)
    )
    results, area = result_pieces(signature.returns, c)
    if area and not c.area:
        raise ValueError("more results than registers")
    params = (*signature.params, AbiParam(I64)) if area and not c.context else signature.params
    args, stack = _pieces(params, c, len(c.arguments), len(c.float_arguments))
    popped = _up(stack, machine.stack_align) if c.pops and stack > c.home else 0
    plain = not (area or c.home or c.packed) and all(
        p.type.is_int and p.type.bits <= 64 and not p.purpose for p in params
    )
    return Passing(
        c, params, args, stack, results, _up(area, _STACK_ALIGN), popped, given_back, plain
    )


_INTEGERS: Final[dict[int, Piece]] = {}
"""The piece that an integer by itself is, by its number and the index of its type."""


def _integers_in_registers(params: tuple[AbiParam, ...], registers: int) -> list[Piece] | None:
    """The pieces of ``params`` if all are integers, each in a register: the usual case, which every convention has
    alike."""
    if len(params) > registers:
        return None
    made: list[Piece] = []
    for number, (type_, _, purpose) in enumerate(params):
        if purpose or not type_.is_int or type_.bits > 64:
            return None
        key = type_.index << 8 | number
        piece = _INTEGERS.get(key)
        if piece is None:
            piece = _INTEGERS[key] = Piece(number, 0, type_.mask, False, number, 0)
        made.append(piece)
    return made


def result_pieces(returns: tuple[AbiParam, ...], convention: Convention) -> tuple[list[Piece], int]:
    """The pieces of results in order, and the bytes they take in the area. ValueError for a type that is not passed."""
    c = convention
    return _pieces(returns, c, len(c.results), len(c.float_results), results=True)


def _pieces(
    params: tuple[AbiParam, ...], c: Convention, ints: int, floats: int, *, results: bool = False
) -> tuple[list[Piece], int]:  # fmt: skip
    """The pieces of ``params``, and the bytes they take on the stack, or in the area if they are ``results``.

    ``ints``, ``floats``: how many registers of each class there are.
    """
    positional, floats_on = c.positional and not results, c.floats_on and not results
    passes_floats = bool(c.float_arguments or c.context)
    most = c.results_at_most if results else _ANY
    stack = 0 if results else c.home
    made: list[Piece] = []
    next_int = next_float = 0
    for index, param in enumerate(params):
        type_ = param.type
        if positional:
            next_int = next_float = index
        if param.purpose == "sret" and c.sret >= 0:
            made.append(Piece(index, 0, type_.mask, False, ints, 0))
            continue
        if type_.is_int and type_.bits == 128 and c.pairs in ("split", "aligned"):
            if c.pairs == "aligned" and next_int >= ints:
                stack = _up(stack, 16)
            for half in (0, 1):
                fits = next_int < min(ints, most - next_float)
                register, offset = (next_int, 0) if fits else (-1, _up(stack, _SLOT))
                next_int += 1
                stack = stack if register >= 0 else offset + _SLOT
                made.append(Piece(index, 64 * half, (1 << 64) - 1, False, register, offset))
            continue
        if type_.is_int and type_.bits == 128 and c.pairs in ("any", "even"):
            start = next_int + (next_int & 1) if c.pairs == "even" else next_int
            register, offset = start, 0
            if start + 2 <= ints:
                next_int = start + 2
            else:
                if c.pairs_close:
                    next_int = ints
                register, offset = -1, _up(stack, 16)
                stack = offset + 16
            for half in (0, 1):
                at = register + half if register >= 0 else -1
                made.append(Piece(index, 64 * half, (1 << 64) - 1, False, at, offset + 8 * half))
            continue
        is_float = type_.is_float and type_.bits in (32, 64) and passes_floats
        if not is_float and not (type_.is_int and type_.bits <= 64):
            raise ValueError(f"a parameter or result of type {type_.name}")
        if floats_on and next_float >= floats:
            is_float = False
        register = next_float if is_float else next_int
        if register < (floats if is_float else ints) and next_int + next_float < most:
            next_float += is_float
            next_int += not is_float
            narrow = c.narrow_floats if is_float and type_.bits == 32 else ""
            up, ones = _NARROW.get(narrow, (0, 0))
            made.append(Piece(index, 0, type_.mask, is_float, register, 0, up=up, ones=ones))
        else:
            size = type_.bytes if c.packed else _SLOT
            stack = _up(stack, size)
            made.append(Piece(index, 0, type_.mask, is_float, -1, stack, size))
            stack += size
    return made, stack


def _in_words(signature: Signature, c: Convention) -> Passing:
    """A function of the run-time library: everything in registers. Too many would be an IndexError of whoever wrote its
    signature."""
    args = _words(signature.params, c, by_place=c.wide_floats < 0)
    results = _words(signature.returns, c, by_place=False)
    return Passing(c, signature.params, args, 0, results, 0, 0, False, False)


def _words(params: tuple[AbiParam, ...], c: Convention, *, by_place: bool) -> list[Piece]:
    made: list[Piece] = []
    ints = floats = 0
    for index, param in enumerate(params):
        type_ = param.type
        if type_.is_float and c.float_arguments:
            wide = type_.bits == 64
            place = ints if by_place else floats + max(c.wide_floats, 0) * wide
            made.append(Piece(index, 0, type_.mask, True, place, 0))
            floats += 1
            ints += by_place
            continue
        count = -(-type_.bits // c.word)
        ints += ints & (count > 1)
        for n in range(count):
            shift = c.word * (count - 1 - n if c.high_first else n)
            mask = type_.mask >> shift & (1 << c.word) - 1
            made.append(Piece(index, shift, mask, False, ints, 0))
            ints += 1
    return made


def _up(size: int, align: int) -> int:
    return -(-size // align) * align
