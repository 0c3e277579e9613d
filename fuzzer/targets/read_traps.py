"""Where x86-64 code of a compiler that does not tell may trap: read off the code.

A trapping instruction stands for any code that an instruction of the case traps with, an access of memory for any that
one faults with. A trap that comes with the wrong code is seen only if the case has no such trap; one that is missing
or too much is seen always.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from backend.ir.global_values import chain_of
from fuzzer.case import Case
from fuzzer.execute.decode import decode, disassembler

_MEMORY: Final = re.compile(r"\[(?!r[sb]p|rip)")
_PADDING: Final = re.compile(rb"\0{64,}")
_LONGEST: Final = 15
"""Bytes of an instruction."""
_TRAPPING: Final = ("ud2", "div", "idiv")


def _trap_codes(case: Case) -> tuple[set[str], set[str]]:
    """Those that instructions of the case trap with, and those that its accesses of memory fault with."""
    explicit: set[str] = set()
    faults: set[str | None] = set()
    for function in case.functions:
        for inst in function.instructions():
            if inst.op.name == "global_value":
                faults.update(step.flags.trap for step in chain_of(function, inst.ref)[1])
            elif "flags" in inst.op.traps:
                faults.add(inst.flags.trap)
            else:
                explicit.update(inst.keyword if trap == "code" else trap for trap in inst.op.traps)
    return explicit, {code for code in faults if code}


def _pieces(code: bytes, starts: list[int]) -> Iterator[tuple[int, int]]:
    """Where code that is read in one go begins and ends: at functions, and at padding, which may be long."""
    for start, end in pairwise([*starts, len(code)]):
        begin = start
        for padding in _PADDING.finditer(code, start, end):
            yield begin, padding.start()
            begin = padding.end()
        yield begin, end


def traps_read(case: Case, code: bytes, starts: list[int]) -> list[tuple[int, str]]:
    """Every code that an instruction may stand for, by its offset.

    Constants follow the code of a function. A branch table is in the midst of it and may put the reading out of step:
    then an instruction is looked for at every byte, since only those at which a run stops are asked for.
    """
    explicit, faults = (sorted(codes) for codes in _trap_codes(case))
    if not explicit and not faults:
        return []
    tables = any(inst.op.name == "br_table" for f in case.functions for inst in f.instructions())
    found: list[tuple[int, str]] = []
    for start, end in _pieces(code, starts):
        read = decode(case.isa, code[start:end])
        if tables:
            begins = {at for at, _ in read}
            others = (at for at in range(end - start) if at not in begins)
            read += [(at, _first(code[start + at : start + at + _LONGEST])) for at in others]
        for at, text in read:
            name = text.partition(" ")[0]
            if name in _TRAPPING:
                found += [(start + at, each) for each in explicit]
            elif name != "lea" and _MEMORY.search(text):
                found += [(start + at, each) for each in faults]
    return found


def _first(code: bytes) -> str:
    """The instruction that ``code`` begins with."""
    name, operands = next(
        ((each[2], each[3]) for each in disassembler("x86_64").disasm_lite(code, 0, 1)), ("", "")
    )
    return f"{name} {operands}"
