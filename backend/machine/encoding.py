"""Bit patterns of fixed-width instructions, compiled to encoders.

A pattern is written most significant bit first, in words::

    1 0 0 100010 imm[12:0] n d

``01..`` are constant bits; ``name[hi:lo]`` and ``name[bit]`` are slices of a field's value; a bare ``name``
is a register field, ``name[4:0]``. What a field's value is (a register, a scaled offset, a bitmask
immediate) is said by its :class:`Kind`, which also refuses what can't be encoded: so a pattern holds
nothing but where bits go, and a wrong bit in a table is one character.

Invariants, checked when a pattern is compiled: the widths add up to 32, every encoded field is declared,
and every declared field that is to be encoded occurs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from backend.errors import InternalError

WORD_BITS: Final = 32
_WORD: Final = re.compile(r"([a-z]\w*)(?:\[(\d+)(?::(\d+))?\])?|([01]+)")

Encoded = int | bytes
"""An instruction: a word of 32 bits, or bytes where widths vary (:mod:`backend.machine.intel_notation`)."""
Encode = Callable[[Sequence[int]], Encoded]


class RegisterTable(dict[int, int]):
    """Register number -> field value. Refuses any register that the field can't name."""

    def __init__(self, kind: str, entries: Mapping[int, int]) -> None:
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, register: int) -> int:
        raise InternalError(f"register number {register} does not fit a field of kind {self.kind}")


class Kind:
    """What a field's value means.

    ``to_bits``: value -> int whose bits the pattern slices; InternalError for a value that can't be
    encoded; None for a field that is not encoded (a trap code). ``text``: value -> assembly text.
    ``legal``: the values that can be encoded, for tests. ``cls``: register class, or -1. ``label``:
    name of the label use if the value is a block or an address, else ""; ``relative``: is such an address
    printed as a distance, wherever the instruction stands? ``fixed``: the only register it can be, or -1.
    """

    __slots__ = ("cls", "fixed", "label", "legal", "name", "relative", "text", "to_bits")

    def __init__(
        self,
        name: str,
        *,
        to_bits: Callable[[int], int] | RegisterTable | None,
        text: Callable[[int], str],
        legal: Callable[[], Sequence[int]],
        cls: int = -1,
        label: str = "",
        relative: bool = False,
        fixed: int = -1,
    ) -> None:
        self.name = name
        self.to_bits = to_bits
        self.text = text
        self.legal = legal
        self.cls = cls
        self.label = label
        self.relative = relative
        self.fixed = fixed


class Field(NamedTuple):
    """A field of a row: its name and kind; its place in ``MInst.ops`` is its place in the row."""

    name: str
    kind: Kind


class Encoding(NamedTuple):
    """A compiled pattern. ``word & mask == match`` for every word that ``encode`` makes; both are 0 for bytes."""

    encode: Encode
    mask: int
    match: int


def compile_pattern(pattern: str, fields: Sequence[Field], printed: int) -> Encoding:
    """``pattern`` as an encoder of ``ops``, the values of ``fields`` in order. The first ``printed``
    fields must be encoded.

    ValueError if the widths do not add up to 32 bits, a field is unknown, or one is left out.
    """
    index = {field.name: i for i, field in enumerate(fields)}
    position = WORD_BITS
    mask = match = 0
    terms: list[str] = []
    names: dict[str, object] = {}
    for word in pattern.split():
        found = _WORD.fullmatch(word)
        if found is None:
            raise ValueError(f"{pattern!r}: {word!r} is neither bits nor a field")
        name, high, low, bits = found.groups()
        if bits is not None:
            position -= len(bits)
            if position >= 0:
                mask |= ((1 << len(bits)) - 1) << position
                match |= int(bits, 2) << position
            continue
        hi = 4 if high is None else int(high)
        lo = 0 if high is None else int(high if low is None else low)
        position -= hi - lo + 1
        if name not in index:
            raise ValueError(f"{pattern!r}: no field {name!r}")
        at = index[name]
        to_bits = fields[at].kind.to_bits
        if to_bits is None or hi < lo:
            raise ValueError(f"{pattern!r}: field {name!r} can't be encoded like this")
        names[f"k{at}"] = to_bits
        value = f"k{at}[ops[{at}]]" if isinstance(to_bits, dict) else f"k{at}(ops[{at}])"
        if not isinstance(to_bits, dict) or (hi, lo) != (4, 0):
            value = f"({value} >> {lo} & {(1 << (hi - lo + 1)) - 1})"
        terms.append(f"{value} << {max(position, 0)}")
    if position:
        raise ValueError(f"{pattern!r}: {WORD_BITS - position} bits, not {WORD_BITS}")
    for i, field in enumerate(fields[:printed]):
        encoded = field.kind.to_bits is not None and not field.kind.label
        if encoded and f"k{i}" not in names:
            raise ValueError(f"{pattern!r}: field {field.name!r} is nowhere")
    source = " | ".join([f"{match:#x}", *terms])
    exec(f"def encode(ops): return {source}", names)
    encode: Encode = names["encode"]  # type: ignore[assignment]  # made by the line above
    return Encoding(encode, mask, match)
