"""Linking one relocatable ELF object into one block of bytes for the executor.

Sections that are loaded follow each other from offset 0, aligned; the block must be put at an address
that is a multiple of :data:`PAGE`, since ADRP counts pages. Relocations are applied as the ELF for the Arm 64-bit
Architecture (aaelf64, 5.7) and the System V ABI's AMD64 supplement (4.4) say; one that needs the block's own
address is ``Unsupported``. RISC-V ELF psABI, "Relocations", has those in pairs: the lower half of a distance
refers to the instruction with the upper one, so it comes last.

Calls of undefined symbols are left to the executor, which has a run-time library and functions from outside. So are
addresses of functions that code takes from the global offset table: the table is made here, behind the sections, and
each of its words is a relocation (aaelf64, 5.7.6; AMD64 supplement, 4.4.1).

Of an ISA that nothing here runs the relocations are told and not applied.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from elftools.elf.descriptions import describe_reloc_type
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from backend.errors import Unsupported
from backend.machine.compiled import Reloc
from fuzzer.execute import layout
from fuzzer.targets.llvm_marks import SECTION, function_fields, marks
from fuzzer.targets.llvm_traps import CALLED, number_of
from fuzzer.targets.target import CompileError

PAGE: Final = 4096
_ALLOC: Final = 2
_EXEC: Final = 4
_NOP: Final = {"EM_S390": bytes.fromhex("0707"), "EM_RISCV": bytes.fromhex("0100")}
"""What code is decoded across; one byte on x86-64. On AArch64 code needs no padding: it comes in words."""


TRAP_CODES: Final = {"EM_ARM": CALLED["arm"], "EM_MIPS": CALLED["mips64"]}
"""What a function that only traps is, where LLVM's traps are calls of one."""
_TRACEBACK: Final = 12


@dataclass(frozen=True, slots=True)
class Linked:
    """``code``: the block; ``symbols``: offsets of defined functions; ``data``: (start, end) of what is no code;
    ``relocs``: calls of what is not in it, and words that hold the address of a function; ``marks``: offset and number
    of LLVM's stack maps (:mod:`fuzzer.targets.llvm_marks`), or of the functions that trap
    (:mod:`fuzzer.targets.llvm_traps`), which are made here."""

    code: bytes
    symbols: dict[str, int]
    data: list[tuple[int, int]]
    relocs: list[Reloc]
    marks: list[tuple[int, int]]


def link(obj: bytes) -> Linked:
    """The object's loaded sections, linked at offset 0."""
    elf = ELFFile(io.BytesIO(obj))
    image = bytearray()
    base: dict[int, int] = {}
    data: list[tuple[int, int]] = []
    sections = list(elf.iter_sections())
    for wanted in (True, False):
        for index, section in enumerate(sections):
            flags, size = section["sh_flags"], section["sh_size"]
            executable = bool(flags & _EXEC)
            if (
                not flags & _ALLOC
                or not size
                or executable != wanted
                or section.name.startswith((".eh_frame", ".ARM.ex", SECTION))
            ):
                continue
            begin = len(image)
            padding = -begin % max(section["sh_addralign"], 1)
            filler = _NOP.get(elf["e_machine"], b"\x90") if executable else b"\0"
            image += (filler * padding)[:padding]
            base[index] = len(image)
            image += section.data()
            if not executable:
                data.append((begin, len(image)))
            elif elf["e_machine"] == "EM_ARM":
                data += _constants(sections, index, base[index], len(image))
    table = next(s for s in sections if isinstance(s, SymbolTableSection))
    machine = elf["e_machine"]
    if machine not in _APPLY:
        told = _as_told(elf, table, base, len(image))
        if machine == "EM_PPC64":
            data += _tables(table, base) + _left_behind(bytes(image))
        return Linked(bytes(image), _functions(table, base), data, told, [])
    apply, calls, by_table = _APPLY[machine], _CALLS[machine], _BY_TABLE[machine]
    relocs: list[Reloc] = []
    words: dict[str, int] = {}
    traps: dict[str, int] = {}
    upper = _UPPER.get(machine, frozenset())
    anchors: dict[int, int] = {}
    anchored: list[tuple[int, int, int]] = []
    for section in sections:
        if isinstance(section, RelocationSection) and section["sh_info"] in base:
            for reloc in section.iter_relocations():
                kind = reloc["r_info_type"]
                at = base[section["sh_info"]] + reloc["r_offset"]
                addend = reloc["r_addend"] if section.is_RELA() else _implicit(image, kind, at)
                symbol = table.get_symbol(reloc["r_info_sym"])
                if number_of(symbol.name) >= 0 and kind in calls:
                    trap = traps.get(symbol.name)
                    if trap is None:
                        trap = traps[symbol.name] = _aligned(image, data)
                        image += TRAP_CODES[machine]
                    apply(image, kind, at, trap + addend)
                elif symbol["st_shndx"] == "SHN_UNDEF" and kind in calls:
                    relocs.append(Reloc(at, calls[kind], symbol.name, addend))
                elif kind == _WORD[machine] and symbol.name:
                    relocs.append(Reloc(at, "abs64", symbol.name, addend))
                elif kind in by_table:
                    word = words.get(symbol.name)
                    if word is None:
                        word = words[symbol.name] = _new_word(image, data)
                        relocs.append(Reloc(word, "abs64", symbol.name, 0))
                    anchors[at] = word + addend
                    apply(image, by_table[kind], at, word + addend)
                elif kind in _LOWER.get(machine, ()):
                    anchored.append((kind, at, _address(symbol, base)))
                else:
                    if kind in upper:
                        anchors[at] = _address(symbol, base) + addend
                    apply(image, kind, at, _address(symbol, base) + addend)
    for kind, at, anchor in anchored:
        apply(image, kind, at, anchors[anchor] - anchor + at)
    found = [(at, number_of(name)) for name, at in traps.items()] or _marks(elf, table, base)
    return Linked(bytes(image), _functions(table, base), data, relocs, found)


def _functions(table: SymbolTableSection, base: dict[int, int]) -> dict[str, int]:
    return {
        symbol.name: _address(symbol, base)
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC"
        and symbol["st_info"]["bind"] == "STB_GLOBAL"
        and symbol["st_shndx"] in base
    }


def _constants(sections: list[Any], index: int, begin: int, end: int) -> list[tuple[int, int]]:
    """What is no code in a section at ``begin`` to ``end``: behind each symbol $d, up to the next $a; LLVM before 19
    has a number behind a period in their names (ELF for the Arm Architecture, "Mapping symbols")."""
    table = next(s for s in sections if isinstance(s, SymbolTableSection))
    mapped = sorted(
        (begin + symbol["st_value"], symbol.name[:2])
        for symbol in table.iter_symbols()
        if symbol["st_shndx"] == index and symbol.name.partition(".")[0] in ("$a", "$d")
    )
    ends = [*[at for at, _ in mapped], end][1:]
    return [(at, to) for (at, name), to in zip(mapped, ends, strict=False) if name == "$d"]


def _implicit(image: bytearray, kind: int, at: int) -> int:
    """The addend of a relocation of Arm's, which is in the place."""
    (word,) = struct.unpack_from("<I", image, at)
    if kind in _ARM_BRANCHES:
        return int((((word & 0xFFFFFF) ^ 0x800000) - 0x800000) << 2)
    return int((word ^ 1 << 31) - (1 << 31))


def _tables(table: SymbolTableSection, base: dict[int, int]) -> list[tuple[int, int]]:
    """What each function ends with on PowerPC: an empty traceback table of LLVM's."""
    ends = [
        _address(symbol, base) + symbol["st_size"]
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] in base
    ]
    return [(end - _TRACEBACK, end) for end in ends]


def _left_behind(code: bytes) -> list[tuple[int, int]]:
    """A word of zeros behind a tail call, on PowerPC: what an instruction of LLVM's own becomes that is none (read off
    LLVM 22's code). It is behind B or BCTR, so it is never reached."""
    words = [word for (word,) in struct.iter_unpack("<I", code[: len(code) // 4 * 4])]
    return [
        (4 * n, 4 * n + 4)
        for n, (before, word) in enumerate(pairwise(words), 1)
        if not word and (before & 0xFC00_0003 == 0x4800_0000 or before == 0x4E80_0420)
    ]


def _as_told(
    elf: ELFFile, table: SymbolTableSection, base: dict[int, int], size: int
) -> list[Reloc]:
    """The relocations of code that nobody runs, by the names that ELF has for them; CompileError for one that has none,
    or is outside the block."""
    relocs: list[Reloc] = []
    for section in elf.iter_sections():
        if not isinstance(section, RelocationSection) or section["sh_info"] not in base:
            continue
        for reloc in section.iter_relocations():
            kind = describe_reloc_type(reloc["r_info_type"], elf)
            at = base[section["sh_info"]] + reloc["r_offset"]
            if not kind.startswith("R_"):
                raise CompileError(f"relocation type {reloc['r_info_type']}", key="relocation type")
            if not 0 <= at < size:
                raise CompileError(f"a relocation at {at} of {size} bytes", key="relocation at")
            symbol = table.get_symbol(reloc["r_info_sym"])
            relocs.append(Reloc(at, kind, symbol.name, reloc["r_addend"]))
    return relocs


def _marks(elf: ELFFile, table: SymbolTableSection, base: dict[int, int]) -> list[tuple[int, int]]:
    """(offset, number) of each of LLVM's stack maps."""
    section = elf.get_section_by_name(SECTION)
    relocations = elf.get_section_by_name(f".rela{SECTION}")
    if section is None or not isinstance(relocations, RelocationSection):
        return []
    order, content = "<" if elf.little_endian else ">", section.data()
    addresses = {
        reloc["r_offset"]: _address(table.get_symbol(reloc["r_info_sym"]), base) + reloc["r_addend"]
        for reloc in relocations.iter_relocations()
    }
    functions = [addresses[at] for at in function_fields(content, order)]
    return marks(content, functions, order)


def _aligned(image: bytearray, data: list[tuple[int, int]]) -> int:
    """Where the next instruction of 4 bytes goes: a table of bytes may be the end."""
    end, padding = len(image), -len(image) % 4
    if padding:
        image += bytes(padding)
        data.append((end, end + padding))
    return end + padding


def _new_word(image: bytearray, data: list[tuple[int, int]]) -> int:
    """The offset of a new word of the global offset table."""
    begin = len(image)
    image += bytes(-begin % 8 + 8)
    data.append((begin, len(image)))
    return len(image) - 8


def _address(symbol: Any, base: dict[int, int]) -> int:
    section = symbol["st_shndx"]
    if section not in base:
        raise Unsupported(f"undefined symbol {symbol.name}")
    return int(base[section] + symbol["st_value"])


#: (field width, lowest bit in the word, shift of the value) of the relocations that patch a word's field
_LO12: Final = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}
_BRANCHES: Final = {282: (26, 0), 283: (26, 0), 280: (19, 5), 279: (14, 5), 273: (19, 5)}
_PAGES: Final = (275, 276)


def _apply_aarch64(image: bytearray, kind: int, at: int, target: int) -> None:
    (word,) = struct.unpack_from("<I", image, at)
    if kind in _BRANCHES:
        width, low = _BRANCHES[kind]
        field = (target - at >> 2) & (1 << width) - 1
        word = word & ~((1 << width) - 1 << low) | field << low
    elif kind in _PAGES:
        pages = (target // PAGE - at // PAGE) & 0x1FFFFF
        word = word & 0x9F00001F | (pages & 3) << 29 | (pages >> 2) << 5
    elif kind == 274:
        delta = (target - at) & 0x1FFFFF
        word = word & 0x9F00001F | (delta & 3) << 29 | (delta >> 2) << 5
    elif kind in _LO12:
        word = word & ~(0xFFF << 10) | ((target & 0xFFF) >> _LO12[kind]) << 10
    elif kind == 261:
        word = (target - at) & 0xFFFFFFFF
    elif kind == 260:
        struct.pack_into("<q", image, at, target - at)
        return
    else:
        raise Unsupported(f"relocation type {kind}")
    struct.pack_into("<I", image, at, word)


def _apply_x86_64(image: bytearray, kind: int, at: int, target: int) -> None:
    if kind in (2, 4):  # R_X86_64_PC32, R_X86_64_PLT32
        struct.pack_into("<i", image, at, target - at)
    elif kind == 24:  # R_X86_64_PC64
        struct.pack_into("<q", image, at, target - at)
    else:
        raise Unsupported(f"relocation type {kind}")


def _apply_riscv(image: bytearray, kind: int, at: int, target: int) -> None:
    distance = target - at
    if kind in (18, 19):  # R_RISCV_CALL, R_RISCV_CALL_PLT
        _apply_riscv(image, 23, at, target)
        (word,) = struct.unpack_from("<I", image, at + 4)
        struct.pack_into("<I", image, at + 4, word & 0xFFFFF | (distance & 0xFFF) << 20)
    elif kind in (35, 39):  # R_RISCV_ADD32, R_RISCV_SUB32: of addresses, whose difference is meant
        (word,) = struct.unpack_from("<I", image, at)
        word += target if kind == 35 else -target
        struct.pack_into("<I", image, at, word & 0xFFFFFFFF)
    elif kind in (44, 45):  # R_RISCV_RVC_BRANCH, R_RISCV_RVC_JUMP
        fields = _COMPRESSED[kind]
        (half,) = struct.unpack_from("<H", image, at)
        struct.pack_into("<H", image, at, _scattered(half, distance, fields))
    elif kind in (16, 17):  # R_RISCV_BRANCH, R_RISCV_JAL
        (word,) = struct.unpack_from("<I", image, at)
        struct.pack_into("<I", image, at, _scattered(word, distance, _JUMPS[kind]))
    else:
        (word,) = struct.unpack_from("<I", image, at)
        if kind == 23:  # R_RISCV_PCREL_HI20
            word = word & 0xFFF | distance + 0x800 & 0xFFFFF000
        elif kind == 24:  # R_RISCV_PCREL_LO12_I
            word = word & 0xFFFFF | (distance & 0xFFF) << 20
        elif kind == 25:  # R_RISCV_PCREL_LO12_S
            word = word & 0x1FFF07F | (distance & 0xFE0) << 20 | (distance & 0x1F) << 7
        elif kind == 57:  # R_RISCV_32_PCREL
            word = distance & 0xFFFFFFFF
        else:
            raise Unsupported(f"relocation type {kind}")
        struct.pack_into("<I", image, at, word)


def _scattered(word: int, distance: int, places: tuple[int, ...]) -> int:
    """``word`` with bits 1, 2, ... of the distance at ``places``."""
    for bit, place in enumerate(places, 1):
        word = word & ~(1 << place) | (distance >> bit & 1) << place
    return word


def _apply_s390(image: bytearray, kind: int, at: int, target: int) -> None:
    if kind in (19, 20):  # R_390_PC32DBL, R_390_PLT32DBL
        struct.pack_into(">i", image, at, target - at >> 1)
    elif kind in (16, 17):  # R_390_PC16DBL, R_390_PLT16DBL
        struct.pack_into(">h", image, at, target - at >> 1)
    elif kind == 5:  # R_390_PC32
        struct.pack_into(">i", image, at, target - at)
    elif kind == 23:  # R_390_PC64
        struct.pack_into(">q", image, at, target - at)
    else:
        raise Unsupported(f"relocation type {kind}")


_ARM_BRANCHES: Final = (28, 29)


def _apply_arm(image: bytearray, kind: int, at: int, target: int) -> None:
    (word,) = struct.unpack_from("<I", image, at)
    if kind in _ARM_BRANCHES:  # R_ARM_CALL, R_ARM_JUMP24
        word = word & 0xFF00_0000 | target - at >> 2 & 0xFF_FFFF
    elif kind == 3:  # R_ARM_REL32
        word = target - at & 0xFFFF_FFFF
    else:
        raise Unsupported(f"relocation type {kind}")
    struct.pack_into("<I", image, at, word)


#: lowest bit of the address that is in the half-word, and what is added first since the lower ones are signed:
#: R_MIPS_LO16, R_MIPS_HI16, R_MIPS_HIGHER, R_MIPS_HIGHEST
_MIPS_HALVES: Final = {
    6: (0, 0),
    5: (16, 0x8000),
    28: (32, 0x8000_8000),
    29: (48, 0x8000_8000_8000),
}
#: bits and unit of the distance: R_MIPS_PC16, R_MIPS_PC21_S2, R_MIPS_PC26_S2
_MIPS_BRANCHES: Final = {10: 16, 60: 21, 61: 26}


def _apply_mips(image: bytearray, kind: int, at: int, target: int) -> None:
    """Addresses are those in the executor's place for code: MIPS has no other way to say them without a table."""
    address = layout.CODE + target
    (word,) = struct.unpack_from(">I", image, at)
    if kind == 4:  # R_MIPS_26
        word = word & 0xFC00_0000 | address >> 2 & 0x03FF_FFFF
    elif kind in _MIPS_HALVES:
        low, rounding = _MIPS_HALVES[kind]
        word = word & 0xFFFF_0000 | address + rounding >> low & 0xFFFF
    elif kind in _MIPS_BRANCHES:
        mask = (1 << _MIPS_BRANCHES[kind]) - 1
        word = word & ~mask | target - at >> 2 & mask
    elif kind == 18:  # R_MIPS_64
        struct.pack_into(">Q", image, at, address)
        return
    else:
        raise Unsupported(f"relocation type {kind}")
    struct.pack_into(">I", image, at, word)


#: where bits 1, 2, ... of the distance are (The RISC-V Instruction Set Manual, Volume I, B, J, CB and CJ)
_JUMPS: Final = {
    16: (8, 9, 10, 11, 25, 26, 27, 28, 29, 30, 7, 31),
    17: (*range(21, 31), 20, *range(12, 20), 31),
}
_COMPRESSED: Final = {44: (3, 4, 10, 11, 2, 5, 6, 12), 45: (3, 4, 5, 11, 2, 7, 6, 9, 10, 8, 12)}

#: relocations that call, by the executor's name: R_X86_64_PLT32, R_AARCH64_JUMP26, R_AARCH64_CALL26,
#: R_RISCV_CALL, R_RISCV_CALL_PLT, R_390_PC32DBL, R_390_PLT32DBL, R_ARM_CALL, R_ARM_JUMP24,
#: R_MIPS_26
_CALLS: Final = {
    "EM_AARCH64": {282: "call26", 283: "call26"},
    "EM_X86_64": {4: "pc_rel32"},
    "EM_RISCV": {18: "riscv_call", 19: "riscv_call"},
    "EM_S390": {19: "pc_rel32_dbl", 20: "pc_rel32_dbl"},
    "EM_ARM": {28: "arm_call", 29: "arm_call"},
    "EM_MIPS": {4: "mips_26"},
}
_APPLY: Final = {
    "EM_AARCH64": _apply_aarch64,
    "EM_X86_64": _apply_x86_64,
    "EM_RISCV": _apply_riscv,
    "EM_S390": _apply_s390,
    "EM_ARM": _apply_arm,
    "EM_MIPS": _apply_mips,
}
#: relocations to the symbol's word in the global offset table, as those to the word itself: R_AARCH64_ADR_GOT_PAGE,
#: R_AARCH64_LD64_GOT_LO12_NC, R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX, R_X86_64_REX_GOTPCRELX,
#: R_RISCV_GOT_HI20, R_390_GOTENT
_BY_TABLE: Final = {
    "EM_AARCH64": {311: 275, 312: 286},
    "EM_X86_64": {9: 2, 41: 2, 42: 2},
    "EM_RISCV": {20: 23},
    "EM_S390": {26: 19},
    "EM_ARM": {},
    "EM_MIPS": {},
}
#: a word that holds an address: R_AARCH64_ABS64, R_X86_64_64, R_RISCV_64, R_390_64, R_MIPS_64; 0 is of no relocation
_WORD: Final = {
    "EM_AARCH64": 257,
    "EM_X86_64": 1,
    "EM_RISCV": 2,
    "EM_S390": 22,
    "EM_ARM": 0,
    "EM_MIPS": 18,
}
#: the upper halves of distances, and the lower ones, which refer to their places
_UPPER: Final = {"EM_RISCV": frozenset({23})}
_LOWER: Final = {"EM_RISCV": frozenset({24, 25})}
