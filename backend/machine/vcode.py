"""VCode: machine instructions over virtual registers, in blocks, between lowering and emission.

Invariants (the allocator and its checker rely on them, :func:`check_shape` enforces them):

- machine code is in SSA form: a virtual register has one definition, an instruction's or a block
  parameter's. An instruction that overwrites an input has two operands, the input and the
  result, and the result's operand is *tied* to the input's;
- the entry block has no parameters: a pseudo instruction defines the arguments, each fixed to its
  register;
- only a block's last instruction branches; a block with several successors passes no arguments
  and each successor of it has it as the only predecessor (critical edges are split by
  lowering), so that the moves of an edge have a place: the end of a block with one successor;
- block numbers are positions in ``blocks``.
"""

from __future__ import annotations

from typing import Final, Protocol

from backend.errors import InternalError
from backend.machine.registers import FIRST_VREG

USE: Final = 0
"""Read when the instruction begins."""
DEF: Final = 1
"""Written when it ends: may share a register with a use that dies here."""
EARLY_DEF: Final = 2
"""Written before all uses are read: shares no register with any use."""
LATE_USE: Final = 3
"""Read when it ends: shares no register with any definition."""


class Operand:
    """What the allocator must know of one register operand. Immutable, shared by a row's instances.

    ``index``: its position in ``MInst.ops``; ``role``: USE, DEF, EARLY_DEF or LATE_USE; ``cls``:
    register class; ``fixed``: the physical register it must be in, or -1; ``tied``: for a DEF, the
    ``index`` of the USE whose register it reuses, or -1.
    """

    __slots__ = ("cls", "fixed", "index", "role", "tied")

    def __init__(self, index: int, role: int, cls: int, *, fixed: int = -1, tied: int = -1) -> None:
        self.index = index
        self.role = role
        self.cls = cls
        self.fixed = fixed
        self.tied = tied

    def __repr__(self) -> str:
        role = ("use", "def", "early-def", "late-use")[self.role]
        fixed = f" fixed {self.fixed}" if self.fixed >= 0 else ""
        return f"<{role} {self.index}{fixed}{f' tied {self.tied}' if self.tied >= 0 else ''}>"


class InstRow(Protocol):
    """The part of an instruction-table row that ISA-independent passes need."""

    @property
    def name(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def operands(self) -> tuple[Operand, ...]: ...
    @property
    def is_move(self) -> bool:
        """A plain register copy ``ops[0] <- ops[1]`` that the allocator may coalesce."""


class MInst:
    """One machine instruction: a table row and its operands.

    ``ops``: ints in the row's field order: registers, immediates, block numbers of labels.
    ``operands``: what the allocator sees; the row's own, or a list made for this instruction
    (arguments, calls, returns, whose operands vary). ``clobbers``: physical registers destroyed
    besides its definitions, as a bit mask. ``origin``: position of the CLIF instruction it comes
    from, in layout order, or -1.
    """

    __slots__ = ("clobbers", "operands", "ops", "origin", "row")

    def __init__(
        self,
        row: InstRow,
        ops: list[int],
        operands: tuple[Operand, ...] | None = None,
        clobbers: int = 0,
        origin: int = -1,
    ) -> None:
        self.row = row
        self.ops = ops
        self.operands = row.operands if operands is None else operands
        self.clobbers = clobbers
        self.origin = origin


class VBlock:
    """A block of machine instructions. ``args`` are what it passes to its only successor."""

    __slots__ = ("args", "cold", "insts", "params", "preds", "succs")

    def __init__(self) -> None:
        self.params: list[int] = []
        self.insts: list[MInst] = []
        self.succs: list[int] = []
        self.preds: list[int] = []
        self.args: list[int] = []
        self.cold = False


class VCode:
    """A function of machine code over virtual registers."""

    __slots__ = ("blocks", "classes", "clobbers", "name", "outgoing", "symbols")

    def __init__(self, name: str) -> None:
        self.name = name
        self.blocks: list[VBlock] = []
        #: register class of virtual register ``FIRST_VREG + i``
        self.classes: list[int] = []
        #: bytes at the bottom of the frame for the stack arguments of calls
        self.outgoing = 0
        #: the registers that calls destroy, as a mask
        self.clobbers = 0
        #: by the number of a function reference, its name
        self.symbols: dict[int, str] = {}

    def new_vreg(self, cls: int) -> int:
        self.classes.append(cls)
        return FIRST_VREG + len(self.classes) - 1

    def class_of(self, vreg: int) -> int:
        return self.classes[vreg - FIRST_VREG]


class Allocation:
    """What the allocator decided. Instructions are numbered from 0 through all blocks in order.

    ``locations[i]``: physical registers of instruction i's operands, in the order of its
    ``operands``. ``edits[i]``: moves ``(to, from)`` of locations to perform one after another just
    before instruction i. ``spill_classes``: register class of each spill slot (so its size).
    The moves of an edge are edits before the terminator of the block it leaves (one successor) or
    before the first instruction of the block it enters (one predecessor).
    """

    __slots__ = ("edits", "locations", "spill_classes")

    def __init__(self) -> None:
        self.locations: list[list[int]] = []
        self.edits: dict[int, list[tuple[int, int]]] = {}
        self.spill_classes: list[int] = []


def check_shape(vcode: VCode) -> None:
    """InternalError unless the invariants at the top of this module hold."""
    defined: set[int] = set()

    def define(vreg: int, where: str) -> None:
        if vreg < FIRST_VREG:
            raise InternalError(f"{vcode.name}: {where} defines physical register {vreg}")
        if vreg in defined:
            raise InternalError(f"{vcode.name}: {where} defines %{vreg - FIRST_VREG} again")
        defined.add(vreg)

    for number, block in enumerate(vcode.blocks):
        where = f"block {number}"
        if not block.insts:
            raise InternalError(f"{vcode.name}: {where} is empty")
        if number == 0 and block.params:
            raise InternalError(f"{vcode.name}: the entry has parameters")
        if len(block.succs) != 1 and block.args:
            raise InternalError(f"{vcode.name}: {where} passes arguments on several edges")
        if len(block.succs) == 1:
            params = vcode.blocks[block.succs[0]].params
            if len(block.args) != len(params):
                raise InternalError(f"{vcode.name}: {where} passes {len(block.args)} arguments, "
                                    f"block {block.succs[0]} takes {len(params)}")  # fmt: skip
        for succ in block.succs:
            if number not in vcode.blocks[succ].preds:
                raise InternalError(f"{vcode.name}: {where} is no predecessor of block {succ}")
            if len(block.succs) > 1 and len(vcode.blocks[succ].preds) > 1:
                raise InternalError(f"{vcode.name}: edge {number} -> {succ} is critical")
        for param in block.params:
            define(param, where)
        for inst in block.insts:
            for operand in inst.operands:
                if operand.role in (DEF, EARLY_DEF):
                    define(inst.ops[operand.index], f"{where}, {inst.row.name}")
    used = {
        inst.ops[o.index] for block in vcode.blocks for inst in block.insts for o in inst.operands
    } | {arg for block in vcode.blocks for arg in block.args}
    if missing := used - defined:
        raise InternalError(f"{vcode.name}: never defined: {sorted(missing)}")
