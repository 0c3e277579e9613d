"""The functions of a compiler's run-time library that CLIF may name: rounding, fma, and those on memory.

Source: section 4 of the language's facts for the names; ISO C 7.12 and 7.26 for what they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backend.ir.opcodes import opcode_named
from backend.ir.types import F32, F64, I32, I64, Type
from fuzzer.reference.float_semantics import FLOAT_MEANINGS
from fuzzer.reference.memory import Memory, UndefinedBehaviour
from fuzzer.reference.open_bits import lifted, made
from fuzzer.reference.program import Outside

Run = Callable[[Memory, list[int]], tuple[int, ...]]


def _float_function(operation: str, t: Type) -> Run:
    """An opcode as a library has it. Its NaN is not the compiler's to make canonical: the bits are open."""
    meaning = FLOAT_MEANINGS[operation]
    adapted = lifted(opcode_named(operation), meaning, (t.mask,))
    return lambda _, args: (adapted(t, *args),)


def _bytes(memory: Memory, address: int, size: int) -> tuple[bytes, bytes]:
    """The bytes at an address and the masks of their open bits. Out of bounds is undefined in C."""
    return bytes(memory.load(address, size, None)), memory.marks(address, size) or bytes(size)


def _copy(memory: Memory, args: list[int]) -> tuple[int, ...]:
    """memmove; memcpy is the same where it is defined."""
    to, source, size = args
    if size:
        data, masks = _bytes(memory, source, size)
        memory.store(to, data, None)
        memory.mark(to, masks)
    return (to,)


def _copy_apart(memory: Memory, args: list[int]) -> tuple[int, ...]:
    to, source, size = args
    if abs(to - source) < size:
        raise UndefinedBehaviour("memcpy between places that overlap")
    return _copy(memory, args)


def _fill(memory: Memory, args: list[int]) -> tuple[int, ...]:
    to, byte, size = args
    if size:
        memory.store(to, bytes([byte & 0xFF]) * size, None)
        memory.mark(to, bytes(size))
    return (to,)


def _compare(memory: Memory, args: list[int]) -> tuple[int, ...]:
    """0, or a number of which only the sign is known."""
    left, right, size = args
    (one, open_), (other, open_too) = (
        _bytes(memory, at, size) if size else (b"", b"") for at in (left, right)
    )
    if any(open_) or any(open_too):
        raise UndefinedBehaviour("memcmp of bits that are open")
    if one == other:
        return (0,)
    return (made(I32.sign if one < other else 0, I32.mask ^ I32.sign),)


LIBRARY: Final[dict[str, tuple[tuple[Type, ...], Type, Run]]] = {
    **{f"%{name}{t.name.upper()}": ((t,) * count, t, _float_function(operation, t))
       for name, operation, count in (("Ceil", "ceil", 1), ("Floor", "floor", 1), ("Trunc", "trunc", 1),
                                      ("Nearest", "nearest", 1), ("Fma", "fma", 3))
       for t in (F32, F64)},
    "%Memcpy": ((I64, I64, I64), I64, _copy_apart),
    "%Memmove": ((I64, I64, I64), I64, _copy),
    "%Memset": ((I64, I32, I64), I64, _fill),
    "%Memcmp": ((I64, I64, I64), I32, _compare),
}  # fmt: skip
"""Name to (parameters, result, function)."""


def library_function(
    name: str, params: tuple[Type, ...], results: tuple[Type, ...]
) -> Outside | None:
    """The library's function of a name and these types; None if it has none. The result may be left out."""
    row = LIBRARY.get(name)
    if row is None or row[0] != params or results not in ((row[1],), ()):
        return None
    run = row[2]
    return Outside(params, results, run if results else lambda memory, args: run(memory, args)[:0])
