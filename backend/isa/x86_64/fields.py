"""The kinds of fields that x86-64 instructions have: what may stand there and how Capstone writes it.

Register kinds: ``b w l q`` a general register of 8, 16, 32, 64 bits; ``index`` one that may be an index, so not
rsp; ``x`` a vector register. ``rax rcx rdx`` are operands that the instruction implies. Immediates: ``a`` the signed
one of arithmetic, ``u`` that of logic, ``t`` of TEST and ``m`` of MOV, which Capstone writes
differently, each with its width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backend.errors import InternalError
from backend.isa.x86_64.regs import INT_NAMES, RAX, RCX, RDX, RSP, xmm
from backend.machine.encoding import Kind, RegisterTable
from backend.machine.intel_notation import FORCE_REX, fits
from backend.machine.registers import FLOAT, INT

CONDITIONS: Final = (
    "o",
    "no",
    "b",
    "ae",
    "e",
    "ne",
    "be",
    "a",
    "s",
    "ns",
    "p",
    "np",
    "l",
    "ge",
    "le",
    "g",
)
O, NO, B, AE, E, NE, BE, A, S, NS, P, NP, L, GE, LE, G = range(16)  # noqa: E741  # the manual's names
PREDICATES: Final = ("eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord")
"""What CMPSS and CMPSD compare for."""
EQ_MASK, LT_MASK, NEQ_MASK = 0, 1, 4
NEAREST, DOWN, UP, TOWARD_ZERO = range(4)
"""What ROUNDSS and ROUNDSD do."""
SIZES: Final = {"b": 8, "w": 16, "l": 32, "q": 64}
MASK64: Final = (1 << 64) - 1

KINDS: Final[dict[str, Kind]] = {}


def number(value: int) -> str:
    """``9``, ``0xa``, ``-0xa``: decimal below ten."""
    return str(value) if -10 < value < 10 else f"{value:#x}"


def _name(register: int, size: str) -> str:
    """A general register's name at a size: ``r10d``, ``sil``."""
    name = INT_NAMES[register]
    if size == "q":
        return name
    if register >= 8:
        return name + {"b": "b", "w": "w", "l": "d"}[size]
    if size == "b":
        return name[1:] + "l" if register >= 4 else name[1] + "l"
    return name[1:] if size == "w" else "e" + name[1:]


def _registers(kind: str, cls: int, bits: dict[int, int], names: dict[int, str]) -> None:
    KINDS[kind] = Kind(
        kind,
        to_bits=RegisterTable(kind, bits),
        text=names.__getitem__,
        legal=lambda: list(bits),
        cls=cls,
    )


_ALL: Final = range(16)
for _size in SIZES:
    _names = {n: _name(n, _size) for n in _ALL}
    # Without a REX prefix numbers 4 to 7 of a byte register are ah, ch, dh, bh.
    _bits = {n: n | FORCE_REX if _size == "b" and 4 <= n < 8 else n for n in _ALL}
    _registers(_size, INT, _bits, _names)
_registers("index", INT, {n: n for n in _ALL if n != RSP}, {n: _name(n, "q") for n in _ALL})
_registers("x", FLOAT, {xmm(n): n for n in _ALL}, {xmm(n): f"xmm{n}" for n in _ALL})


def _implied(kind: str, register: int) -> None:
    KINDS[kind] = Kind(
        kind, to_bits=None, text=str, legal=lambda: (register,), cls=INT, fixed=register
    )


for _implicit in (RAX, RCX, RDX):
    _implied(INT_NAMES[_implicit], _implicit)


# ---- immediates


def _samples(bits: int) -> tuple[int, ...]:
    """Signed numbers of ``bits`` bits at which something changes."""
    top = 1 << (bits - 1)
    near = {k for at in (0, 10, 127, 128, 0x1234, top) for k in (at - 1, at, -at, -at - 1)}
    return tuple(sorted(k for k in near if -top <= k < top))


def _immediate(kind: str, bits: int, text: Callable[[int], str]) -> None:
    KINDS[kind] = Kind(
        kind, to_bits=lambda value: fits(value, bits, kind), text=text, legal=lambda: _samples(bits)
    )


def _unsigned(bits: int) -> Callable[[int], str]:
    return lambda value: number(value & (1 << bits) - 1)


def _arithmetic(bits: int) -> Callable[[int], str]:
    """Signed where the immediate is sign-extended to the operand, unsigned where it has its width."""
    mask = (1 << bits) - 1
    return lambda value: number(value if -128 <= value < 128 else value & mask)


for _size, _width in SIZES.items():
    _stored = min(_width, 32)
    _immediate(f"u{_size}", _stored, _unsigned(_width))
    _immediate(
        f"a{_size}",
        _stored,
        _arithmetic(_width) if _size in "wl" else number if _size == "q" else _unsigned(8),
    )
    _immediate(f"t{_size}", _stored, number if _size == "q" else _unsigned(_width))
    _immediate(f"m{_size}", _stored, _unsigned(_width))


def _ranged(kind: str, legal: range, text: Callable[[int], str] = number) -> None:
    def bits(value: int) -> int:
        if value not in legal:
            raise InternalError(f"{value} does not fit an immediate of kind {kind}")
        return value

    KINDS[kind] = Kind(kind, to_bits=bits, text=text, legal=lambda: legal)


def _wide(kind: str, bits: int) -> None:
    """A MOV's own immediate, unsigned."""
    samples = [
        k & (1 << bits) - 1 for at in (0, 10, 0x7FFF_FFFF, 1 << (bits - 1)) for k in (at, at - 1)
    ]

    def check(value: int) -> int:
        if value >> bits:
            raise InternalError(f"{value} does not fit an immediate of kind {kind}")
        return value

    KINDS[kind] = Kind(kind, to_bits=check, text=number, legal=lambda: samples)


_wide("imm32", 32)
_wide("imm64", 64)
for _size, _width in SIZES.items():
    _ranged(f"s{_size}", range(1, _width))
_ranged("pop", range(16, 1 << 16, 16))
_ranged("bit", range(64))
_ranged("cc", range(16), CONDITIONS.__getitem__)
_ranged("predicate", range(8), PREDICATES.__getitem__)
_ranged("mode", range(16))


# ---- addresses


def _displacement(value: int) -> str:
    if not value:
        return ""
    return f" + {number(value)}" if value > 0 else f" - {number(-value)}"


_immediate("disp", 32, _displacement)
_ranged("scale", range(4), lambda log: f"*{1 << log}" if log else "")


def _label(kind: str, use: str, text: Callable[[int], str], relative: bool = False) -> None:
    KINDS[kind] = Kind(
        kind, to_bits=lambda _: 0, text=text, legal=lambda: (0,), label=use, relative=relative
    )


RIP_LENGTH: Final = 7
"""Bytes of an instruction with an operand relative to rip: REX, opcode, ModRM, displacement."""


def _absolute(address: int) -> str:
    return number(address & MASK64)


_label("jump", "jump32", _absolute)
_label("jump8", "jump8", _absolute)
_label("cond8", "cond8", _absolute)
_label("call", "pc_rel32", _absolute)
_label("function", "pc_rel32", lambda at: _displacement(at - RIP_LENGTH), relative=True)
_label("cond", "cond32", _absolute)
_label("pool", "pool32", lambda at: _displacement(at - RIP_LENGTH), relative=True)
_label("table", "address32", lambda at: _displacement(at - RIP_LENGTH), relative=True)


# ---- what is not encoded


def _hidden(kind: str, legal: range) -> None:
    KINDS[kind] = Kind(kind, to_bits=None, text=str, legal=lambda: legal)


_hidden("trap", range(-1, 256))
_hidden("else", range(1 << 20))
_hidden("n", range(1 << 30))
