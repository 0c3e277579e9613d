"""Who answers calls of a compiler's run-time library: the executor, or machine code of somebody else's making.

By default the executor answers (:mod:`fuzzer.execute.library`), which sees what a caller owes a callee and destroys
what a callee may. The *blob* is the other: routines of compiler_rt and libm that were compiled for the ISA, linked at
one address of the layout, and run like any code. It has routines that the executor does not know, it works on a second
executor, and it was written by others: what is found with the one and not with the other is a fault of a library.

A blob is an ELF file in the user's cache, made by :mod:`fuzzer.execute.runtime_build`. Its data can't be written:
routines that keep any (a lock, a guard of the stack) fault. Of what it does not define the executor answers.

Left out are routines that do less than an operation of a compiler may promise, or that the emulator would get wrong.
Which one is asked is said once a process, before code is loaded (:func:`choose`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from fuzzer.cache import cache_folder
from fuzzer.execute import layout
from fuzzer.execute.library import C_NAME
from fuzzer.execute.static_elf import EXECUTE, READ, Segment

EXECUTOR: Final = "executor"
BLOB: Final = "blob"
KINDS: Final = (EXECUTOR, BLOB)
"""What can be asked for."""

BUILT_FOR: Final = ("aarch64", "x86_64", "riscv64", "s390x", "arm", "mips64")
"""The ISAs that a blob can be built for, whether the executor has a machine for them or not."""

INSTRUCTIONS: Final = 5
"""How many times the machine instructions a run with a blob may take."""

_ON: Final = frozenset({"ceil", "ceilf", "floor", "floorf", "trunc", "truncf", "fma"})
"""Routines that may give back a signalling NaN as it came. C lets them; what compilers call them for does not."""
_WRONG: Final = {"s390x": frozenset({"fmaf"})}
"""Routines whose instructions the emulator gets wrong (:mod:`fuzzer.execute.quarantine`): the first factor by MDEBR."""

_LOAD: Final = "PT_LOAD"
_chosen = EXECUTOR


class Blob(NamedTuple):
    """``segments``: what is mapped, in whole pages; ``symbols``: addresses of its routines by their names in C."""

    segments: tuple[Segment, ...]
    symbols: dict[str, int]

    def address(self, symbol: str) -> int | None:
        """Where a function of the run-time library is, by its name in C or in CLIF; None if it is not in here."""
        return self.symbols.get(C_NAME.get(symbol, symbol))


def file_of(isa: str) -> Path:
    """Where the blob of ``isa`` is, if it was built."""
    return cache_folder("runtime") / f"{isa}.elf"


@cache
def blob_of(isa: str) -> Blob | None:
    """The blob of ``isa``; None if there is none, or none for this layout, or nothing to read it with."""
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
        from elftools.elf.sections import SymbolTableSection
    except ImportError:
        return None
    segments = []
    try:
        with file_of(isa).open("rb") as file:
            elf = ELFFile(file)
            for segment in elf.iter_segments(_LOAD):
                address, size = segment["p_vaddr"], segment["p_memsz"]
                access = READ | segment["p_flags"] & EXECUTE
                data = segment.data().ljust(size, b"\0")
                segments.append(
                    Segment(address, access, data.ljust(-(-size // 4096) * 4096, b"\0"))
                )
            table = elf.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                return None
            # What a file defines for others is hidden once that is linked; what it has for itself is not.
            symbols = {
                symbol.name: symbol["st_value"]
                for symbol in table.iter_symbols()
                if symbol["st_info"]["type"] == "STT_FUNC"
                and symbol["st_other"]["visibility"] == "STV_HIDDEN"
                and symbol["st_shndx"] != "SHN_UNDEF"
                and symbol.name not in _ON | _WRONG.get(isa, frozenset())
            }
    except (OSError, ELFError):
        return None
    end = layout.RUNTIME + layout.RUNTIME_SIZE
    fits = all(
        layout.RUNTIME <= address <= end - len(data) and not address % 4096
        for address, _, data in segments
    )
    return Blob(tuple(segments), symbols) if fits and symbols else None


def choose(kind: str) -> None:
    """From now on this process's code is linked with that one of :data:`KINDS`."""
    global _chosen
    _chosen = kind


@contextmanager
def instead(kind: str) -> Iterator[None]:
    """Code that is loaded meanwhile is linked with ``kind``."""
    before = _chosen
    choose(kind)
    try:
        yield
    finally:
        choose(before)


def chosen(isa: str) -> Blob | None:
    """The blob that code for ``isa`` is linked with; None if the executor answers."""
    return blob_of(isa) if _chosen == BLOB else None


def unavailable(isa: str) -> str:
    """Why there is no blob for ``isa``, and what to do."""
    if isa not in BUILT_FOR:
        return f"not for {isa}; one can be built for {', '.join(BUILT_FOR)}"
    return f"not built for {isa}; `clifhanger doctor --build runtime` builds it"
