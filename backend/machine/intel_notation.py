"""Encodings of variable width in the notation of Intel's manual, compiled to encoders.

A pattern is what an opcode table of the manual shows, and behind it the operand encoding with the names of the
row's fields::

    REX.W 01 /r MR(d, m)          register d in ModRM.rm, m in ModRM.reg
    66 81 /0 iw MI(d, imm)        an opcode extension, an immediate of 16 bits
    REX.W 8B /r RM(d, [n imm])    memory: base n, displacement imm
    8D /r RM(d, [n m s imm])      memory: base n + index m * 2^s, displacement imm
    REX.W 8D /r RM(d, [rip at])   memory: a label, relative to the instruction's end
    0F 80+cc cd CD(cc, at)        a condition added to the opcode, a label
    EB cb D(at)                   a label of one byte
    B8+r id OI(d, imm)            the register in the opcode

``M`` goes to ModRM.rm, ``R`` to ModRM.reg, ``O`` and ``C`` to the opcode's low bits, ``I`` to the
immediate, ``D`` to the label's bytes; ``ZO()`` has none. A REX prefix without W appears when a register needs it.
Alternatives stand between bars; the first whose immediate fits is taken::

    83 /0 ib MI(d, imm) | 81 /0 id MI(d, imm)

Invariants: legacy prefixes come first, REX right before the opcode; a displacement is the shortest that is
right; a label's bytes are the instruction's last, four of them unless ``cb`` says one.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2: 2.1 (instruction format), 2.2.1
(REX), 3.1.1 (the notation).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, NamedTuple

from backend.errors import InternalError
from backend.machine.encoding import Encoding, Field

FORCE_REX: Final = 16
"""Set in the bits of a byte register that a REX prefix alone can name: spl, bpl, sil, dil."""

_PREFIXES: Final = ("66", "F2", "F3")
_FORM: Final = re.compile(r"(.*?)\s*([A-Z]+)\((.*)\)")
_OPCODE: Final = re.compile(r"([0-9A-F]{2})(\+r|\+cc)?")
_WIDTHS: Final = {"ib": 1, "iw": 2, "id": 4, "io": 8}
_LABELS: Final = {"cb": 1, "cd": 4}
_DISP32: Final = Struct("<i").pack
_DISP8: Final = Struct("<b").pack
_BYTE: Final = tuple(bytes((n,)) for n in range(256))

REX: Final = (b"", *(bytes((0x40 | n & 15,)) for n in range(1, 32)))
"""The prefix by W << 3 | R << 2 | X << 1 | B, with :data:`FORCE_REX` where it must be there at any rate."""


class _Form(NamedTuple):
    """One alternative: legacy prefixes, REX.W, opcode bytes, ModRM (``r``, a digit or nothing), bytes of the
    immediate and of the label, and the operand encoding."""

    prefixes: bytes
    wide: bool
    opcode: bytes
    added: str
    modrm: str
    immediate: int
    label: int
    letters: str
    names: tuple[str, ...]


def _parse(text: str) -> _Form:
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} has no operand encoding")
    words, letters, inside = match[1].split(), match[2], match[3]
    names = tuple(name.strip() for name in inside.split(",")) if inside else ()
    if letters == "ZO":
        letters = ""
    if len(letters) != len(names) or set(letters) - set("MROCID"):
        raise ValueError(f"{text!r}: {len(names)} operands for {letters!r}")
    prefixes = bytearray()
    while len(words) > 1 and words[0] in _PREFIXES:
        prefixes += bytes.fromhex(words.pop(0))
    wide = words[0] == "REX.W"
    opcode, added, modrm, immediate, label = bytearray(), "", "", 0, 0
    for word in words[wide:]:
        if found := _OPCODE.fullmatch(word):
            opcode += bytes.fromhex(found[1])
            added = found[2] or ""
        elif word in _WIDTHS:
            immediate = _WIDTHS[word]
        elif word in _LABELS:
            label = _LABELS[word]
        elif word[0] == "/" and word[1:] in "r01234567":
            modrm = word[1:]
        else:
            raise ValueError(f"{text!r}: {word!r} is no part of an encoding")
    form = _Form(
        bytes(prefixes), wide, bytes(opcode), added, modrm, immediate, label, letters, names
    )
    agree = (
        bool(modrm) == ("M" in letters)
        and (modrm == "r") == ("R" in letters)
        and (added == "+r") == ("O" in letters)
        and (added == "+cc") == ("C" in letters)
        and bool(immediate) == ("I" in letters)
        and bool(label) == ("D" in letters)
    )
    if not agree or not opcode:
        raise ValueError(f"{text!r}: the encoding and its operands do not agree")
    return form


# ---- what encoders call


def based(reg: int, base: int, disp: int) -> bytes:
    """ModRM, SIB and displacement of ``[base + disp]``; only the low three bits of registers count."""
    base &= 7
    modrm = (reg & 7) << 3 | base
    if not disp and base != 5:
        tail = b""
    elif -128 <= disp <= 127:
        modrm |= 0x40
        tail = _DISP8(disp)
    else:
        modrm |= 0x80
        tail = _DISP32(disp)
    if base == 4:
        return _BYTE[modrm] + b"\x24" + tail
    return _BYTE[modrm] + tail


def indexed(reg: int, base: int, index: int, scale: int, disp: int) -> bytes:
    """ModRM, SIB and displacement of ``[base + index * 2^scale + disp]``."""
    base &= 7
    modrm = (reg & 7) << 3 | 4
    if not disp and base != 5:
        tail = b""
    elif -128 <= disp <= 127:
        modrm |= 0x40
        tail = _DISP8(disp)
    else:
        modrm |= 0x80
        tail = _DISP32(disp)
    return _BYTE[modrm] + _BYTE[scale << 6 | (index & 7) << 3 | base] + tail


# ---- compiling


class _Compiler:
    """Python source of one row's encoder."""

    def __init__(self, pattern: str, fields: Sequence[Field]) -> None:
        self.pattern = pattern
        self.fields = fields
        self.index = {field.name: i for i, field in enumerate(fields)}
        self.names: dict[str, object] = {
            "REX": REX, "BYTE": _BYTE, "based": based, "indexed": indexed,
        }  # fmt: skip
        self.used: set[str] = set()
        #: variables of byte registers
        self.bytes: set[str] = set()
        self.lines: list[str] = []

    def value(self, name: str) -> str:
        """The variable that holds a field's bits."""
        if name not in self.index:
            raise ValueError(f"{self.pattern!r}: no field {name!r}")
        at = self.index[name]
        if name not in self.used:
            to_bits = self.fields[at].kind.to_bits
            if to_bits is None:
                raise ValueError(f"{self.pattern!r}: field {name!r} can't be encoded")
            self.used.add(name)
            self.names[f"k{at}"] = to_bits
            if isinstance(to_bits, dict) and any(bits & FORCE_REX for bits in to_bits.values()):
                self.bytes.add(f"v{at}")
            call = f"k{at}[ops[{at}]]" if isinstance(to_bits, dict) else f"k{at}(ops[{at}])"
            self.lines.append(f"    v{at} = {call}")
        return f"v{at}"

    def form(self, form: _Form, last: bool) -> None:
        """Return this form's bytes, if its immediate fits."""
        values = [
            "" if name[0] == "[" or letter == "D" else self.value(name)
            for letter, name in zip(form.letters, form.names, strict=True)
        ]
        given = dict(zip(form.letters, values, strict=True))
        memory: list[str] = []
        rip = False
        if "M" in form.letters and (inside := form.names[form.letters.index("M")])[0] == "[":
            words = inside.strip("[]").split()
            rip = words[0] == "rip"
            memory = [] if rip else [self.value(word) for word in words]
            given["M"] = ""
        rex = [str(8 * form.wide)]
        reg = given.get("R", form.modrm if form.modrm.isdigit() else "0")
        registers = [given[letter] for letter in "RMO" if given.get(letter)]
        if "R" in given:
            rex.append(f"({given['R']} & 8) >> 1")
        if len(memory) == 4:
            rex.append(f"({memory[1]} & 8) >> 2")
        base = memory[0] if memory else given.get("M") or given.get("O", "")
        if base:
            rex.append(f"({base} & 8) >> 3")
        rex += [f"{bits} & {FORCE_REX}" for bits in registers if bits in self.bytes]
        parts = [repr(form.prefixes)] if form.prefixes else []
        parts.append(f"REX[{' | '.join(rex)}]" if rex[1:] else repr(REX[8 * form.wide]))
        opcode = form.opcode
        if form.added:
            low = f"{given['O']} & 7" if form.added == "+r" else given["C"]
            parts += [repr(opcode[:-1]), f"BYTE[{opcode[-1]} | {low}]"]
        else:
            parts.append(repr(opcode))
        if rip:
            parts += [f"BYTE[({reg} & 7) << 3 | 5]", repr(bytes(4))]
        elif len(memory) == 4:
            parts.append(f"indexed({reg}, {', '.join(memory)})")
        elif memory:
            parts.append(f"based({reg}, {', '.join(memory)})")
        elif "M" in given:
            parts.append(f"BYTE[0xC0 | ({reg} & 7) << 3 | {given['M']} & 7]")
        if form.label:
            parts.append(repr(bytes(form.label)))
        if form.immediate:
            width = 8 * form.immediate
            imm = given["I"]
            parts.append(f"({imm} & {(1 << width) - 1:#x}).to_bytes({form.immediate}, 'little')")
            if not last:
                limit = 1 << (width - 1)
                self.lines.append(f"    if {-limit} <= {imm} < {limit}:")
        indent = "    " if last else "        "
        joined = " + ".join(part for part in parts if part != "b''")
        self.lines.append(f"{indent}return {joined}")


def compile_intel(pattern: str, fields: Sequence[Field], printed: int) -> Encoding:
    """``pattern`` as an encoder of ``ops``, the values of ``fields`` in order, to bytes. The first
    ``printed`` fields must be encoded.

    ValueError if it is no encoding, a field is unknown, or one is left out.
    """
    forms = [_parse(text) for text in pattern.split("|")]
    compiler = _Compiler(pattern, fields)
    for number, form in enumerate(forms):
        last = number == len(forms) - 1
        if not last and not form.immediate:
            raise ValueError(f"{pattern!r}: nothing tells {number} from the next")
        compiler.form(form, last)
    named = {word for form in forms for name in form.names for word in name.strip("[]").split()}
    for field in fields[:printed]:
        if field.name not in named and field.kind.to_bits is not None:
            raise ValueError(f"{pattern!r}: field {field.name!r} is nowhere")
    source = "\n".join(["def encode(ops):", *compiler.lines])
    exec(source, compiler.names)
    encode: Callable[[Sequence[int]], bytes] = compiler.names["encode"]  # type: ignore[assignment]  # made by the line above
    return Encoding(encode, 0, 0)


def fits(value: int, bits: int, kind: str) -> int:
    """``value`` if it is a signed number of ``bits``; InternalError otherwise."""
    if -1 << (bits - 1) <= value < 1 << (bits - 1):
        return value
    raise InternalError(f"{value} does not fit an immediate of kind {kind}")
