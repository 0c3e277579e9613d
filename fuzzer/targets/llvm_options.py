"""LLVM's options as the fuzzer draws them, and what each is for LLVM.

Those of :func:`flags` are of a whole process and can't be taken back, the others are said with each question
(:mod:`fuzzer.targets.llvm_server`). Names of flags: LLVM's ``llc --help-hidden``. Features are those that the executor
runs (:mod:`fuzzer.execute.machines`): on x86-64 none whose instructions have a VEX prefix, on AArch64 none beyond
ARMv8.0, but what changes how code is chosen and put in order, on s390x no high words, whose RISBLG Unicorn 2.1.4
gets wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fuzzer.case import OptionValue
from fuzzer.targets.target import Option

_NONE: Final = "none"
FEATURES: Final[dict[str, tuple[str, ...]]] = {
    "aarch64": ("strict-align", "reserve-x18,reserve-x20", "alu-lsl-fast,fuse-literals,use-postra-scheduler"),
    "x86_64": ("sse4.1", "sse4.2,popcnt", "sse4.2,popcnt,lzcnt", "slow-3ops-lea,slow-incdec,slow-shld"),
    "riscv64": ("unaligned-scalar-mem", "reserve-x18,reserve-x27", "short-forward-branch-ialu",
                "lui-addi-fusion,auipc-addi-fusion,use-postra-scheduler"),
    "arm": ("strict-align", "no-movt", "reserve-r9", "slow-fp-brcc,expand-fp-mlx,use-misched"),
    "s390x": ("distinct-ops,load-store-on-cond,population-count",
              "distinct-ops,load-store-on-cond,fp-extension,miscellaneous-extensions"),
    "mips64": ("strict-align",),
}  # fmt: skip
"""ISA -> what may be drawn beside none."""

_WITH_GLOBAL: Final = ("aarch64", "x86_64", "riscv64", "arm")
"""The ISAs for which LLVM has GlobalISel; there is no code at all for another that is told to use it."""

OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "opt_level", (2, 0, 1, 3), "level of the code generator, and of the mid-end if it runs"
    ),
    Option("midend", (True, False), "run LLVM's optimisation pipeline first"),
    Option("isel", ("default", "fast", "global"), "who selects instructions: LLVM's choice, FastISel, GlobalISel",
           _WITH_GLOBAL),
    Option("isel", ("default", "fast"), "who selects instructions: LLVM's choice, FastISel", ("s390x", "mips64")),
    Option("gisel_abort", (0, 1, 2), "what GlobalISel can't do is: 0 done by another, 1 unsupported, 2 as 0 and said",
           _WITH_GLOBAL),
    Option("verify", (False, True), "verify machine code between passes"),
    Option("wrapped", (False, True), "a wrapper calls the function: it gets addresses of arguments and of results",
           ("aarch64", "x86_64", "riscv64", "s390x")),
    *(
        Option("features", (_NONE, *values), "what the processor has, or likes", (isa,), feature=True)
        for isa, values in FEATURES.items()
    ),
)  # fmt: skip

_SELECTORS: Final = {"default": (), "fast": ("-fast-isel",), "global": ("-global-isel",)}


def flags(options: Mapping[str, OptionValue]) -> str:
    """The process's own options, parted by spaces; "" for those of LLVM as it comes."""
    isel = str(options.get("isel", "default"))
    given = [*_SELECTORS[isel]]
    if isel == "global":
        given.append(f"-global-isel-abort={options.get('gisel_abort', 0)}")
    if options.get("verify", False):
        given.append("-verify-machineinstrs")
    return " ".join(given)


#: who selects at level 0 where LLVM is not told, if that is not the selection graph
_AT_LEVEL_0: Final = {"aarch64": "global", "x86_64": "fast"}


def selector(isa: str, options: Mapping[str, OptionValue]) -> str:
    """``graph`` (SelectionDAG), ``fast`` or ``global``: who selects instructions, though for what two of them can't do
    the graph steps in."""
    isel = str(options.get("isel", "default"))
    if isel != "default":
        return isel
    return _AT_LEVEL_0.get(isa, "graph") if options.get("opt_level", 2) == 0 else "graph"


def features(isa: str, options: Mapping[str, OptionValue]) -> str:
    """The processor's, each with a plus; those of another ISA are none."""
    drawn = str(options.get("features", _NONE))
    if drawn not in FEATURES.get(isa, ()):
        return ""
    return ",".join(f"+{name}" for name in drawn.split(","))
