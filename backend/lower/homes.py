"""Giving integer values a home in float registers: a stress, so that both register classes work hard.

Scalar integer code hardly uses the second class. Under the option ``homes`` a value is moved to a float register
right after its definition and back right before each use, so that pressure, spills, callee-saved
registers, block parameters and parallel moves happen in that class too. What the code computes stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backend.machine.registers import FIRST_VREG, FLOAT, INT
from backend.machine.vcode import DEF, EARLY_DEF, MInst, VBlock, VCode

if TYPE_CHECKING:
    from backend.isa.isa import Isa

CHOICES: Final[dict[str, Callable[[int], bool]]] = {
    "int": lambda vreg: False,
    "float": lambda vreg: True,
    "mixed": lambda vreg: vreg & 1 == 1,
}
"""Which virtual registers move, by the option's value."""


def move_homes(vcode: VCode, isa: Isa, choice: str) -> None:
    """Rewrite ``vcode`` in place: the integer registers that ``choice`` names live in float registers."""
    wanted = CHOICES[choice]
    homes = {
        vreg: vcode.new_vreg(FLOAT)
        for vreg in range(FIRST_VREG, FIRST_VREG + len(vcode.classes))
        if vcode.class_of(vreg) == INT and wanted(vreg)
    }
    _Mover(vcode, isa, homes).run()


class _Mover:
    def __init__(self, vcode: VCode, isa: Isa, homes: dict[int, int]) -> None:
        self.vcode = vcode
        self.homes = homes
        self.to_float, self.to_int = isa.crossings

    def run(self) -> None:
        blocks = self.vcode.blocks
        params = [list(block.params) for block in blocks]
        for block in blocks:
            self._block(block, params)
        for block in blocks:
            block.params = [self.homes.get(param, param) for param in block.params]

    def _block(self, block: VBlock, params: list[list[int]]) -> None:
        homes = self.homes
        out: list[MInst] = []
        for inst in block.insts[:-1]:
            self._inst(inst, out)
        last = block.insts[-1]
        if block.args:
            wanted = params[block.succs[0]]
            block.args = [self._argument(arg, param, last, out)
                          for arg, param in zip(block.args, wanted, strict=True)]  # fmt: skip
        self._inst(last, out)
        block.insts = out
        assert not any(
            o.role in (DEF, EARLY_DEF) and last.ops[o.index] in homes for o in last.operands
        )

    def _argument(self, arg: int, param: int, last: MInst, out: list[MInst]) -> int:
        """What to pass: a register of the class that the parameter lives in."""
        home = self.homes.get(arg)
        if param in self.homes:
            if home is None:
                home = self.vcode.new_vreg(FLOAT)
                out.append(MInst(self.to_float, [home, arg], origin=last.origin))
            return home
        return arg if home is None else self._fetched(home, last, out)

    def _fetched(self, home: int, inst: MInst, out: list[MInst]) -> int:
        vreg = self.vcode.new_vreg(INT)
        out.append(MInst(self.to_int, [vreg, home], origin=inst.origin))
        return vreg

    def _inst(self, inst: MInst, out: list[MInst]) -> None:
        homes, ops = self.homes, inst.ops
        after = []
        for operand in inst.operands:
            vreg = ops[operand.index]
            home = homes.get(vreg)
            if home is None:
                continue
            if operand.role in (DEF, EARLY_DEF):
                after.append(MInst(self.to_float, [home, vreg], origin=inst.origin))
            else:
                ops[operand.index] = self._fetched(home, inst, out)
        out.append(inst)
        out += after
