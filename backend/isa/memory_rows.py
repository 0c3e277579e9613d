"""Which row loads or stores a value, by opcode and type: what ISAs differ in is the names of a dozen rows."""

from __future__ import annotations

from typing import Final

LOADS: Final = "load|uload8|sload8|uload16|sload16|uload32|sload32"
STORES: Final = "store|istore8|istore16|istore32"
"""The opcodes, as a rule names alternatives."""

_WIDTHS: Final = (8, 16, 32, 64)


def memory_rows(
    *,
    loads: dict[int, str],
    sign_extending: dict[int, tuple[str, ...]],
    stores: dict[int, str],
    float_loads: dict[int, str],
    float_stores: dict[int, str],
) -> dict[tuple[str, str], dict[str, str]]:
    """What ``$M`` (a row) and ``$S`` (log2 of the bytes accessed) stand for in rules, by opcode and type.

    All by the bits in memory: ``loads`` and ``stores`` of integers, a load with zeros in front;
    ``sign_extending``: of loads, to registers of 32 and of 64 bits, the wider alone if there is one.
    """
    found = {}
    for opcode, rows, letter in (("load", loads, "i"), ("store", stores, "i"),
                                 ("load", float_loads, "f"), ("store", float_stores, "f")):  # fmt: skip
        found.update({(opcode, f"{letter}{bits}"): (row, bits) for bits, row in rows.items()})
    for bits in _WIDTHS:
        for wider in _WIDTHS[_WIDTHS.index(bits) + 1 :]:
            type_ = f"i{wider}"
            found[f"uload{bits}", type_] = loads[bits], bits
            found[f"sload{bits}", type_] = sign_extending[bits][-1 if wider == 64 else 0], bits
            found[f"istore{bits}", type_] = stores[bits], bits
    return {key: {"M": row, "S": str(bits.bit_length() - 4)} for key, (row, bits) in found.items()}
