"""x86-64: tables and the object that holds them together."""

from __future__ import annotations

from typing import Final

from backend.isa.isa import Isa
from backend.isa.x86_64 import abi
from backend.isa.x86_64.insts import ROWS
from backend.isa.x86_64.labels import NOP_WORD, label_uses
from backend.isa.x86_64.lower import RULES
from backend.isa.x86_64.pseudos import PSEUDOS, invert
from backend.isa.x86_64.regs import machine_env

ISA: Final = Isa(
    "x86_64",
    table=ROWS,
    rule_set=RULES,
    env=machine_env,
    extends={(8, False): ROWS["movzx_b.l"], (16, False): ROWS["movzx_w.l"],
             (8, True): ROWS["movsx_b.l"], (16, True): ROWS["movsx_w.l"]},
    jump=ROWS["jmp"],
    trap=ROWS["ud2"],
    label_uses=label_uses,
    nop=NOP_WORD,
    move=abi.move,
    prologue=abi.prologue,
    epilogue=abi.epilogue,
    pseudos=PSEUDOS,
    invert=invert,
    calls=abi.CALLS,
    crossings=(ROWS["mov_to_x.d"], ROWS["mov_from_x.d"]),
    step_bytes=16,
)  # fmt: skip
