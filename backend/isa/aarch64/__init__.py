"""AArch64: tables and the object that holds them together."""

from __future__ import annotations

from typing import Final

from backend.isa.aarch64 import abi
from backend.isa.aarch64.insts import ROWS
from backend.isa.aarch64.labels import NOP_WORD, label_uses
from backend.isa.aarch64.lower import RULES
from backend.isa.aarch64.pseudos import PSEUDOS, invert
from backend.isa.aarch64.regs import machine_env
from backend.isa.isa import Isa

ISA: Final = Isa(
    "aarch64",
    table=ROWS,
    rule_set=RULES,
    env=machine_env,
    extends={(8, False): ROWS["uxtb"], (16, False): ROWS["uxth"],
             (8, True): ROWS["sxtb.w"], (16, True): ROWS["sxth.w"]},
    jump=ROWS["b"],
    trap=ROWS["udf"],
    label_uses=label_uses,
    nop=NOP_WORD,
    move=abi.move,
    prologue=abi.prologue,
    epilogue=abi.epilogue,
    pseudos=PSEUDOS,
    invert=invert,
    calls=abi.CALLS,
    crossings=(ROWS["fmov_from.x"], ROWS["fmov_to.x"]),
)  # fmt: skip
