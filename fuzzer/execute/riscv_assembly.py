"""As much of RISC-V's assembly as a harness needs: Keystone has none.

A line is an opcode and its operands, ``ld x1, 8(x31)``; ``li`` takes a number below 2^31, ``j`` a distance. Source:
The RISC-V Instruction Set Manual, Volume I, "RV32/64G Instruction Set Listings".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

_PLACE: Final = re.compile(r"(\d+)\((\w+)\)")


def _number(register: str) -> int:
    return int(register[1:])


def _load(opcode: int) -> Callable[[str, str], list[int]]:
    def encode(register: str, place: str) -> list[int]:
        offset, base = _placed(place)
        return [offset << 20 | base << 15 | 3 << 12 | _number(register) << 7 | opcode]

    return encode


def _store(opcode: int) -> Callable[[str, str], list[int]]:
    def encode(register: str, place: str) -> list[int]:
        offset, base = _placed(place)
        return [
            offset >> 5 << 25
            | _number(register) << 20
            | base << 15
            | 3 << 12
            | (offset & 31) << 7
            | opcode
        ]

    return encode


def _placed(place: str) -> tuple[int, int]:
    match = _PLACE.fullmatch(place)
    if match is None or int(match[1]) >= 2048:
        raise ValueError(f"no place: {place}")
    return int(match[1]), _number(match[2])


def _add(register: str, source: str, number: int, opcode: int = 0x13) -> int:
    return (number & 0xFFF) << 20 | _number(source) << 15 | _number(register) << 7 | opcode


def _li(register: str, text: str) -> list[int]:
    number = int(text, 0)
    if not 0 <= number < 1 << 31:
        raise ValueError(f"no number for li: {text}")
    upper = number + 0x800 >> 12 & 0xFFFFF
    return [upper << 12 | _number(register) << 7 | 0x37, _add(register, register, number, 0x1B)]


def _j(text: str) -> list[int]:
    distance = int(text, 0)
    if distance % 2 or not -1 << 20 <= distance < 1 << 20:
        raise ValueError(f"no distance for j: {text}")
    parts = ((distance >> 20 & 1, 31), (distance >> 1 & 0x3FF, 21),
             (distance >> 11 & 1, 20), (distance >> 12 & 0xFF, 12))  # fmt: skip
    return [sum(part << at for part, at in parts) | 0x6F]


_OPCODES: Final[dict[str, Callable[..., list[int]]]] = {
    "ld": _load(0x03),
    "fld": _load(0x07),
    "sd": _store(0x23),
    "fsd": _store(0x27),
    "li": _li,
    "mv": lambda register, source: [_add(register, source, 0)],
    "j": _j,
    "jr": lambda register: [_number(register) << 15 | 0x67],
    "ecall": lambda: [0x73],
}


def assemble(lines: Iterable[str]) -> bytes:
    """The code of these lines. ValueError for what this does not know."""
    code = bytearray()
    for line in lines:
        opcode, _, operands = line.partition(" ")
        if opcode not in _OPCODES:
            raise ValueError(f"no opcode: {line}")
        for word in _OPCODES[opcode](*[each.strip() for each in operands.split(",") if each]):
            code += word.to_bytes(4, "little")
    return bytes(code)
