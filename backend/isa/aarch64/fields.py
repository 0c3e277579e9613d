"""The kinds of fields that AArch64 instructions have: what may stand there and how Capstone writes it.

Register kinds: ``x``/``w`` a general register, never number 31; ``xz``/``wz`` also the zero register;
``xs`` also the stack pointer. Two disjoint meanings of number 31 make two kinds, so neither can be
taken for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from backend.errors import InternalError
from backend.isa.aarch64 import immediates as imm
from backend.isa.aarch64.regs import SP, XZR, v
from backend.machine.encoding import Kind, RegisterTable
from backend.machine.registers import FLOAT, INT

CONDITIONS: Final = (
    "eq",
    "ne",
    "hs",
    "lo",
    "mi",
    "pl",
    "vs",
    "vc",
    "hi",
    "ls",
    "ge",
    "lt",
    "gt",
    "le",
)
EQ, NE, HS, LO, MI, PL, VS, VC, HI, LS, GE, LT, GT, LE = range(14)
SHIFTS: Final = ("lsl", "lsr", "asr", "ror")
EXTENDS: Final = ("uxtb", "uxth", "uxtw", "uxtx", "sxtb", "sxth", "sxtw", "sxtx")
LSL, LSR, ASR, ROR = range(4)
UXTB, UXTH, UXTW, UXTX, SXTB, SXTH, SXTW, SXTX = range(8)

KINDS: Final[dict[str, Kind]] = {}


def number(value: int) -> str:
    """``#9``, ``#0xa``, ``#-0xa``: decimal below ten."""
    return f"#{value}" if -10 < value < 10 else f"#{value:#x}"


def _signed(value: int, bits: int) -> str:
    return number(value - (1 << bits) if value >> (bits - 1) else value)


def _registers(kind: str, cls: int, numbers: dict[int, int], names: dict[int, str]) -> None:
    KINDS[kind] = Kind(
        kind,
        to_bits=RegisterTable(kind, numbers),
        text=names.__getitem__,
        legal=lambda: list(numbers),
        cls=cls,
    )


def _checked(
    kind: str,
    legal: Callable[[], Sequence[int]],
    text: Callable[[int], str] = number,
    to_bits: Callable[[int], int] | None = None,
) -> None:
    """An immediate whose legal values are a range or a set that is cheap to ask."""
    known = legal()
    inside = known if isinstance(known, range) else frozenset(known)

    def bits(value: int) -> int:
        if value not in inside:
            raise InternalError(f"{value} does not fit an immediate of kind {kind}")
        return value if to_bits is None else to_bits(value)

    KINDS[kind] = Kind(kind, to_bits=bits, text=text, legal=legal)


def _label(kind: str, use: str) -> None:
    KINDS[kind] = Kind(
        kind,
        to_bits=lambda _: 0,
        text=lambda address: number(address & imm.MASK64),
        legal=lambda: (0,),
        label=use,
    )


def _hidden(kind: str, legal: range) -> None:
    KINDS[kind] = Kind(kind, to_bits=None, text=str, legal=lambda: legal)


_ALL: Final = range(31)
for _letter in "xw":
    _named = {n: f"{_letter}{n}" for n in _ALL}
    _same = {n: n for n in _ALL}
    _registers(_letter, INT, _same, _named)
    _registers(f"{_letter}z", INT, {**_same, XZR: 31}, {**_named, XZR: f"{_letter}zr"})
    _registers(
        f"{_letter}s", INT, {**_same, SP: 31}, {**_named, SP: "sp" if _letter == "x" else "wsp"}
    )
for _kind, _form in (("fs", "s{}"), ("fd", "d{}"), ("fq", "q{}"), ("fb", "b{}"),
                     ("v8b", "v{}.8b"), ("v16b", "v{}.16b"), ("v2s", "v{}.2s")):  # fmt: skip
    _registers(
        _kind, FLOAT, {v(n): n for n in range(32)}, {v(n): _form.format(n) for n in range(32)}
    )

# -- arithmetic immediates
_checked("ai", lambda: [*range(4096), *range(4096, 1 << 24, 4096)],
         lambda k: number(k) if k < 4096 else f"{number(k >> 12)}, lsl #12", imm.add_imm_bits)  # fmt: skip
_checked("i5", lambda: range(32))
_checked("i4", lambda: range(16))
_checked("i16", lambda: range(1 << 16))


def _fp_text(imm8: int) -> str:
    """A float immediate as a number: 16 to 31 sixteenths of a power of two from 2^-3 to 2^4."""
    exponent = (imm8 >> 4 & 7 ^ 4) - 3
    return f"#{(-1) ** (imm8 >> 7) * (16 + (imm8 & 15)) / 16 * 2.0**exponent:.8f}"


_checked("fi", lambda: range(256), _fp_text)


def _wide(kind: str, bits: int, inverted: bool) -> None:
    mask = (1 << bits) - 1

    def to_bits(value: int) -> int:
        found = imm.wide_chunk(value ^ mask if inverted else value, bits)
        if found < 0:
            raise InternalError(f"{value:#x} does not fit an immediate of kind {kind}")
        return found

    def legal() -> list[int]:
        chunks = [c << 16 * hw for hw in range(bits // 16) for c in range(1, 0xFFFF, 37)]
        if not inverted:
            return [0, *chunks, *(0xFFFF << 16 * hw for hw in range(bits // 16))]
        return [mask, *(c ^ mask for c in chunks)]

    KINDS[kind] = Kind(kind, to_bits=to_bits, text=lambda k: _signed(k, bits), legal=legal)


def _bitmask(bits: int) -> None:
    table = imm.bitmask_table(bits)

    def to_bits(value: int) -> int:
        found = table.get(value)
        if found is None:
            raise InternalError(f"{value:#x} is no bitmask immediate of {bits} bits")
        return found

    def not_wide() -> list[int]:
        mask = (1 << bits) - 1
        return [
            k for k in table if imm.wide_chunk(k, bits) < 0 and imm.wide_chunk(k ^ mask, bits) < 0
        ]

    KINDS[f"bm{bits}"] = Kind(f"bm{bits}", to_bits=to_bits, text=number, legal=lambda: list(table))
    # Capstone 5 shows the immediate of a 64-bit TST as a signed number.
    KINDS[f"bt{bits}"] = Kind(f"bt{bits}", to_bits=to_bits, legal=lambda: list(table),
                              text=number if bits == 32 else lambda k: _signed(k, bits))  # fmt: skip
    # MOV of a bitmask is not the preferred form of what MOVZ or MOVN can do.
    KINDS[f"mb{bits}"] = Kind(
        f"mb{bits}", to_bits=to_bits, text=lambda k: _signed(k, bits), legal=not_wide
    )


for _bits in (32, 64):
    _wide(f"wz{_bits}", _bits, inverted=False)
    _wide(f"wn{_bits}", _bits, inverted=True)
    _bitmask(_bits)
    _checked(f"hw{_bits}", lambda n=_bits: range(0, n, 16), lambda k: f", lsl #{k}" if k else "")  # type: ignore[misc]  # the default binds the loop's value
    # a shift by a constant: 0 is written as a move
    _checked(f"s{_bits}", lambda n=_bits: range(1, n))  # type: ignore[misc]  # as above
    _checked(f"ls{_bits}", lambda n=_bits: range(1, n), number,  # type: ignore[misc]  # as above
             lambda k, n=_bits: (-k % n) << 6 | (n - 1 - k))  # type: ignore[misc]  # fmt: skip  # as above
    # shifted register: type << 6 | amount
    for _kind, _count in (("sh", 3), ("shr", 4)):
        _checked(f"{_kind}{_bits}",
                 lambda n=_bits, c=_count: [t << 6 | k for t in range(c) for k in range(1, n)],  # type: ignore[misc]  # as above
                 lambda k: f"{SHIFTS[k >> 6]} #{k & 63}")  # fmt: skip


def _bitfield(kind: str, bits: int, insert: bool) -> None:
    """``lsb << 8 | width``, of a field that neither begins at bit 0 nor reaches the top."""

    def to_bits(value: int) -> int:
        lsb, width = value >> 8, value & 0xFF
        return (-lsb % bits) << 6 | (width - 1) if insert else lsb << 6 | (lsb + width - 1)

    _checked(kind,
             lambda: [lsb << 8 | width for lsb in range(1, bits) for width in range(1, bits - lsb)],
             lambda k: f"{number(k >> 8)}, {number(k & 0xFF)}", to_bits)  # fmt: skip


for _bits in (32, 64):
    _bitfield(f"bx{_bits}", _bits, insert=False)
    _bitfield(f"bi{_bits}", _bits, insert=True)

# extended register: option << 3 | amount
_checked("ext", lambda: [e << 3 | k for e in (UXTB, UXTH, UXTW, SXTB, SXTH, SXTW) for k in range(5)],
         lambda k: EXTENDS[k >> 3] + (f" {number(k & 7)}" if k & 7 else ""))  # fmt: skip
# -- conditions; "ci": the opposite is encoded
_checked("c", lambda: range(14), CONDITIONS.__getitem__)
_checked("ci", lambda: range(14), CONDITIONS.__getitem__, lambda k: k ^ 1)
KINDS["cn"] = Kind(
    "cn", to_bits=KINDS["c"].to_bits, text=lambda k: CONDITIONS[k ^ 1], legal=KINDS["c"].legal
)
# -- addresses


def _offset(value: int) -> str:
    return f", {number(value)}" if value else ""


for _scale in range(5):
    _checked(f"u{_scale}", lambda s=_scale: range(0, 4096 << s, 1 << s), _offset)  # type: ignore[misc]  # the default binds the loop's value
    # index register: option << 1 | scaled
    _checked(f"x{_scale}", lambda: [e << 1 | s for e in (UXTW, SXTW) for s in (0, 1)],
             lambda k, s=_scale: EXTENDS[k >> 1] + (f" {number(s)}" if k & 1 else ""))  # type: ignore[misc]  # fmt: skip  # as above
_checked("i9", lambda: range(-256, 256), _offset)
_checked("p3", lambda: range(-512, 512, 8), _offset)
_checked("p3w", lambda: range(-512, 512, 8))
_checked("b32", lambda: range(32))
_checked("b64", lambda: range(32, 64))
_label("branch", "branch26")
_label("call", "call26")
_label("cond", "cond19")
_label("test", "test14")
_label("adr", "adr21")
_label("pool", "literal19")
# -- what is not encoded
_hidden("trap", range(-1, 256))
_hidden("else", range(1 << 20))
_hidden("n", range(1 << 30))
