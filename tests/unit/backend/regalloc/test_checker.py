"""Each rule of the allocation checker, broken once."""

from __future__ import annotations

import re

import pytest

from backend.errors import AllocationError
from backend.machine.registers import FIRST_VREG
from backend.machine.vcode import (
    DEF,
    EARLY_DEF,
    LATE_USE,
    USE,
    Allocation,
    MInst,
    Operand,
    VBlock,
    VCode,
)
from backend.regalloc.checker import check_allocation
from tests.property.fake_isa import ANY, JUMP, PLAIN, fake_env

ENV = fake_env(4, 4)._replace(callee_saved=frozenset([3]))
A, B, C = FIRST_VREG, FIRST_VREG + 1, FIRST_VREG + 2
DEFINE, READ = PLAIN[0, 0, 1], PLAIN[0, 1, 0]
Edits = dict[int, list[tuple[int, int]]]


def code(*insts: MInst, classes: tuple[int, ...] = (0, 0, 0)) -> VCode:
    vcode = VCode("%t")
    vcode.classes = list(classes)
    vcode.blocks = [VBlock()]
    vcode.blocks[0].insts = list(insts)
    return vcode


def allocation(
    locations: list[list[int]], edits: Edits | None = None, slots: tuple[int, ...] = ()
) -> Allocation:
    made = Allocation()
    made.locations = locations
    made.edits = edits or {}
    made.spill_classes = list(slots)
    return made


DEFINE_READ = (MInst(DEFINE, [A]), MInst(READ, [A]))
CALL = MInst(ANY, [], (), clobbers=3)
TIED = MInst(ANY, [A, B], (Operand(0, USE, 0), Operand(1, DEF, 0, tied=0)))
FIXED = MInst(ANY, [A], (Operand(0, USE, 0, fixed=7),))
EARLY = MInst(ANY, [A, B], (Operand(0, USE, 0), Operand(1, EARLY_DEF, 0)))
LATE = MInst(ANY, [A, B], (Operand(0, LATE_USE, 0), Operand(1, DEF, 0)))
LATE_CLOBBER = MInst(ANY, [A], (Operand(0, LATE_USE, 0),), clobbers=1)
#: a value that is overwritten as a tied use and still wanted as a late one
TIED_LATE = MInst(ANY, [A, B, A], (*TIED.operands, Operand(2, LATE_USE, 0)))
TWO = MInst(PLAIN[0, 0, 2], [A, B])


@pytest.mark.parametrize(
    ("insts", "locations", "edits", "slots"),
    [
        (DEFINE_READ, [[0], [0]], {}, ()),
        (DEFINE_READ, [[0], [1]], {1: [(1, 0)]}, ()),
        (DEFINE_READ, [[0], [1]], {1: [(-1, 0), (1, -1)]}, (0,)),
        (DEFINE_READ, [[0], [1]], {1: [(16, 0), (1, 16)]}, ()),
        ((DEFINE_READ[0], FIXED), [[0], [7]], {1: [(7, 0)]}, ()),
        ((DEFINE_READ[0], TIED), [[0], [0, 0]], {}, ()),
        ((DEFINE_READ[0], CALL, DEFINE_READ[1]), [[2], [], [2]], {}, ()),
        ((DEFINE_READ[0], EARLY), [[0], [0, 1]], {}, ()),
        ((DEFINE_READ[0], LATE), [[0], [0, 1]], {}, ()),
    ],
)
def test_accepts(
    insts: tuple[MInst, ...], locations: list[list[int]], edits: Edits, slots: tuple[int, ...]
) -> None:
    check_allocation(code(*insts), allocation(locations, edits, slots), ENV)


@pytest.mark.parametrize(
    ("insts", "locations", "edits", "message"),
    [
        (DEFINE_READ, [[0]], {}, "locations for 1 instructions of 2"),
        (DEFINE_READ, [[0], [0]], {2: [(1, 0)]}, "edits before instruction 2 of 2"),
        (DEFINE_READ, [[0], []], {}, "has 0 locations for 1 operands"),
        (DEFINE_READ, [[0], [1]], {}, "reads %0 from x1, which holds nothing known; %0 is in x0"),
        (DEFINE_READ, [[5], [5]], {}, "in x5, which is not an allocatable int register"),
        (DEFINE_READ, [[32], [32]], {}, "in f0, which is not an allocatable int register"),
        (DEFINE_READ, [[-1], [-1]], {}, "not in a register"),
        (DEFINE_READ, [[0], [1]], {1: [(1, -2)]}, "no such location"),
        (DEFINE_READ, [[0], [0]], {1: [(-1, 0)]}, "moves %0 to spill0, which is not for it"),
        (DEFINE_READ, [[0], [0]], {1: [(33, 0)]}, "moves %0 to f1, which is not for it"),
        (DEFINE_READ, [[0], [0]], {1: [(20, 0)]}, "moves %0 to x20, which is not for it"),
        (DEFINE_READ, [[0], [0]], {1: [(20, 9)]}, "moves nothing known to x20"),
        (DEFINE_READ, [[0], [0]], {1: [(-1, -1)]}, "slot to slot"),
        (DEFINE_READ, [[0], [0]], {1: [(0, 9)]}, "reads %0 from x0, which holds nothing known"),
        ((DEFINE_READ[0], FIXED), [[0], [0]], {}, "<use 0 fixed 7> is in x0"),
        ((DEFINE_READ[0], TIED), [[0], [0, 1]], {}, "is in x1, its tied use in x0"),
        ((DEFINE_READ[0], CALL, DEFINE_READ[1]), [[0], [], [0]], {}, "reads %0 from x0"),
        ((DEFINE_READ[0], EARLY), [[0], [0, 0]], {}, "an early definition and a use share x0"),
        ((DEFINE_READ[0], LATE), [[0], [0, 0]], {}, "a late use and a definition share x0"),
        ((DEFINE_READ[0], LATE_CLOBBER), [[0], [0]], {}, "a late use is in x0, a clobber"),
        ((DEFINE_READ[0], TIED_LATE), [[0], [0, 0, 0]], {}, "a late use and a definition share x0"),
        ((TWO,), [[0, 0]], {}, "two definitions share a register"),
    ],
)  # fmt: skip
def test_refuses(
    insts: tuple[MInst, ...], locations: list[list[int]], edits: Edits, message: str
) -> None:
    # The one slot is for floats: none of these may use it for %0.
    with pytest.raises(AllocationError, match=re.escape(message)):
        check_allocation(code(*insts), allocation(locations, edits, (1,)), ENV)


def test_callee_saved_registers() -> None:
    vcode = code(*DEFINE_READ)
    for locations, edits in (([[3], [3]], {}), ([[0], [3]], {1: [(3, 0)]})):
        made = allocation(locations, edits)
        check_allocation(vcode, made, ENV)
        check_allocation(vcode, made, ENV, frozenset([3]))
        with pytest.raises(AllocationError, match="not saved"):
            check_allocation(vcode, made, ENV, frozenset())


def loop(turn: list[int], *body: MInst) -> VCode:
    """``a``, ``b`` defined; a block with parameter ``c`` that passes ``turn`` to itself."""
    vcode = code(MInst(TWO.row, [A, B]), MInst(JUMP, []), classes=(0, 0, 0, 0))
    first = vcode.blocks[0]
    first.succs, first.args = [1], [A]
    again = VBlock()
    again.params, again.insts, again.succs, again.preds = [C], [*body, MInst(JUMP, [])], [1], [0, 1]
    again.args = turn
    vcode.blocks.append(again)
    return vcode


def test_parameters_are_followed_around_a_loop() -> None:
    vcode = loop([B], MInst(READ, [C]))
    right = {1: [(2, 0)], 3: [(2, 1)]}
    check_allocation(vcode, allocation([[0, 1], [], [2], []], right), ENV)
    for dropped in (1, 3):
        wrong = {i: moves for i, moves in right.items() if i != dropped}
        with pytest.raises(AllocationError, match="reads %2 from x2"):
            check_allocation(vcode, allocation([[0, 1], [], [2], []], wrong), ENV)


def test_the_value_of_an_earlier_turn_is_not_that_of_this_one() -> None:
    """d is defined in x1 and read from x2, where only the last turn put it."""
    d = FIRST_VREG + 3
    vcode = loop([A], MInst(DEFINE, [d]), MInst(READ, [d]))
    made = allocation([[0, 1], [], [1], [2], []], {4: [(2, 1)]})
    with pytest.raises(AllocationError, match="reads %3 from x2"):
        check_allocation(vcode, made, ENV)


def test_paths_that_disagree() -> None:
    """A value is in x1 on one way to the join only."""
    vcode = code(MInst(DEFINE, [A]), MInst(READ, [A]))
    vcode.blocks[0].succs = [1, 2]
    for number, (succs, preds, insts) in enumerate(
        [
            ([3], [0], [MInst(JUMP, [])]),
            ([3], [0], [MInst(JUMP, [])]),
            ([], [1, 2], [MInst(READ, [A])]),
        ]
    ):
        made = VBlock()
        made.succs, made.preds, made.insts = succs, preds, insts
        vcode.blocks.append(made)
        assert len(vcode.blocks) == number + 2
    locations = [[0], [0], [], [], [1]]
    check_allocation(vcode, allocation(locations, {2: [(1, 0)], 3: [(1, 0)]}), ENV)
    with pytest.raises(AllocationError, match="block 3, instruction 4"):
        check_allocation(vcode, allocation(locations, {2: [(1, 0)]}), ENV)
