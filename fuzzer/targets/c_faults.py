"""Faults of C compilers that are known, so that a campaign doesn't find them again and again.

A row excludes what it describes as unsupported, with its reason. A test replays each without the exclusion where the
compiler is installed: an entry of the corpus would need it everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from fuzzer.targets.llvm_faults import any_pair_on_stack

if TYPE_CHECKING:
    from fuzzer.targets.c_ir import Module


class Fault(NamedTuple):
    """``compiler``: whose; ``isa``: where; ``before``: the first major version that has it no more, 0 if none is known;
    ``hits(module)``: may one of the functions run into it? ``thread``: the compiler's on it, or ""."""

    compiler: str
    isa: str
    before: int
    hits: Callable[[Module], bool]
    what: str
    thread: str = ""


def _mixed_structure(module: Module) -> bool:
    return any({"i", "f"} <= set(structure) for structure in module.structures)


def _pair_on_stack(module: Module) -> bool:
    return any_pair_on_stack(list(module.functions.values()), module.isa)


FAULTS: Final = (
    Fault("tcc", "x86_64", 0, _mixed_structure,
          "a structure of an integer and a double is returned in integer registers"),
    Fault("clang", "x86_64", 20, _pair_on_stack,
          "an i128 that does not fit in registers is split, or not aligned on the stack, or takes a register along",
          "llvm-project #41784 and #123935"),
)  # fmt: skip


def known_fault(compiler: str, version: str, module: Module) -> str:
    """Why a case is left out, or "". ``version``: as the compiler says it."""
    number = re.match(r"\d+", version)
    major = int(number[0]) if number else 0
    for fault in FAULTS:
        if (
            (fault.compiler, fault.isa) == (compiler, module.isa)
            and (not fault.before or major < fault.before)
            and fault.hits(module)
        ):
            known = f" ({fault.thread})" if fault.thread else ""
            return f"known fault of {compiler}: {fault.what}{known}"
    return ""
