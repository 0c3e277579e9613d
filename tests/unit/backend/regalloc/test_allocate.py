"""What the allocator does where a choice shows: constraints, spilling, hints, tight fits."""

from __future__ import annotations

from random import Random

import pytest

from backend.errors import AllocationError, InternalError
from backend.machine.registers import FIRST_VREG, MachineEnv
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
    check_shape,
)
from backend.regalloc.allocate import allocate
from backend.regalloc.checker import check_allocation
from tests.property.fake_isa import (
    ANY,
    JUMP,
    MOVES,
    fake_env,
    random_vcode,
    run_allocated,
    run_virtual,
)

ENV3 = fake_env(3, 3)
ENV8 = fake_env(8, 8)


def block(vcode: VCode, *insts: MInst) -> VBlock:
    made = VBlock()
    made.insts = list(insts)
    vcode.blocks.append(made)
    return made


def inst(vregs: str, *operands: Operand, clobbers: int = 0) -> MInst:
    """An instruction on the virtual registers named by letters: ``a`` is the first."""
    ops = [FIRST_VREG + ord(letter) - ord("a") for letter in vregs]
    return MInst(ANY, ops, operands, clobbers)


def straight(vregs: int, *insts: MInst) -> VCode:
    vcode = VCode("%straight")
    vcode.classes = [0] * vregs
    block(vcode, *insts)
    return vcode


def sound(vcode: VCode, env: MachineEnv = ENV3) -> Allocation:
    """Allocate, check, and compare what runs."""
    check_shape(vcode)
    allocation = allocate(vcode, env)
    check_allocation(vcode, allocation, env)
    assert run_allocated(vcode, allocation) == run_virtual(vcode)
    return allocation


def d(index: int, **more: int) -> Operand:
    return Operand(index, DEF, 0, **more)


def u(index: int, **more: int) -> Operand:
    return Operand(index, USE, 0, **more)


def test_a_dying_use_gives_its_register_to_the_definition() -> None:
    allocation = sound(straight(2, inst("a", d(0)), inst("ab", u(0), d(1)), inst("b", u(0))))
    assert allocation.locations == [[0], [0, 0], [0]]
    assert allocation.edits == {}


def test_an_early_definition_does_not() -> None:
    early = Operand(1, EARLY_DEF, 0)
    allocation = sound(straight(2, inst("a", d(0)), inst("ab", u(0), early), inst("b", u(0))))
    assert allocation.locations[1] == [0, 1]


def test_a_late_use_keeps_its_register_to_itself() -> None:
    late = Operand(0, LATE_USE, 0)
    allocation = sound(straight(2, inst("a", d(0)), inst("ab", late, d(1)), inst("b", u(0))))
    assert allocation.locations[1] == [0, 1]


def test_a_tied_use_that_dies_needs_no_copy_and_one_that_lives_on_does() -> None:
    tied = (u(0), d(1, tied=0))
    dies = sound(straight(2, inst("a", d(0)), inst("ab", *tied), inst("b", u(0))))
    assert dies.edits == {}
    lives = sound(straight(2, inst("a", d(0)), inst("ab", *tied), inst("ab", u(0), u(1))))
    assert lives.edits == {1: [(1, 0)]}


def test_fixed_uses_and_definitions_attract_what_they_are_about() -> None:
    vcode = straight(2, inst("a", d(0)), inst("ab", u(0, fixed=5), d(1, fixed=6)), inst("b", u(0)))
    allocation = sound(vcode, ENV8)
    assert allocation.locations == [[5], [5, 6], [6]]
    assert allocation.edits == {}


def test_one_value_in_several_fixed_registers() -> None:
    vcode = straight(1, inst("a", d(0)), inst("aaa", u(0, fixed=1), u(1, fixed=2), u(2)))
    assert sound(vcode).locations[1] == [1, 2, 0]


def test_a_fixed_use_and_another_definition_in_the_same_register() -> None:
    vcode = straight(
        2, inst("a", d(0)), inst("ab", u(0, fixed=1), d(1, fixed=1)), inst("ab", u(0), u(1))
    )
    assert sound(vcode).locations[1] == [1, 1]


def test_eight_fixed_registers_with_three_allocatable() -> None:
    """Arguments and results in x0 to x7, of which the allocator may use x0 to x2."""
    enter = inst("abcdefgh", *[d(n, fixed=n) for n in range(8)])
    leave = inst("hgfedcba", *[u(n, fixed=n) for n in range(8)])
    allocation = sound(straight(8, enter, leave))
    assert allocation.locations == [list(range(8)), list(range(8))]


def test_a_value_across_a_call_is_in_a_register_the_call_keeps() -> None:
    vcode = straight(1, inst("a", d(0)), inst("", clobbers=0x7F), inst("a", u(0)))
    assert sound(vcode, ENV8).locations == [[7], [], [7]]


def test_a_value_across_a_call_that_keeps_nothing_is_stored_once() -> None:
    vcode = straight(
        1,
        inst("a", d(0)),
        inst("", clobbers=7),
        inst("a", u(0)),
        inst("", clobbers=7),
        inst("a", u(0)),
    )
    allocation = sound(vcode)
    moves = [move for moves in allocation.edits.values() for move in moves]
    assert [to for to, _ in moves if to < 0] == [-1]
    assert [source for _, source in moves if source < 0] == [-1, -1]


def test_slots_are_shared_by_values_that_are_not_alive_together() -> None:
    call = inst("", clobbers=7)
    vcode = straight(
        3,
        inst("a", d(0)), call, inst("a", u(0)),
        inst("b", d(0)), call, inst("b", u(0)),
        inst("c", Operand(0, DEF, 1)), inst("", clobbers=0x7 << 32), inst("c", Operand(0, USE, 1)),
    )  # fmt: skip
    vcode.classes = [0, 0, 1]
    assert sound(vcode).spill_classes == [0, 1]


@pytest.mark.parametrize("first", ["abc", "bca", "cab"])
def test_operands_that_just_fit(first: str) -> None:
    """a is read late, and of x0, x1, x2 it can only have the one not clobbered, whoever has it."""
    define = inst(first, d(0), d(1), d(2))
    for clobbered in (3, 5, 6):
        use = inst("abc", Operand(0, LATE_USE, 0), u(1), u(2), clobbers=clobbered)
        sound(straight(3, define, use, inst("abc", u(0), u(1), u(2))))


def test_more_operands_than_registers() -> None:
    vcode = straight(4, inst("abcd", *[d(n) for n in range(4)]))
    with pytest.raises(AllocationError, match="more are needed"):
        allocate(vcode, ENV3)


def test_dead_definitions_and_unused_parameters() -> None:
    vcode = VCode("%dead")
    a, b, c = (vcode.new_vreg(0) for _ in range(3))
    block(vcode, MInst(ANY, [a, b], (d(0), d(1))), MInst(JUMP, []))
    block(vcode, MInst(ANY, []))
    vcode.blocks[0].succs, vcode.blocks[0].args = [1], [a]
    vcode.blocks[1].preds, vcode.blocks[1].params = [0], [c]
    allocation = sound(vcode)
    assert allocation.locations[0] == [0, 1]
    assert allocation.edits == {}


def test_a_loop_that_swaps_its_parameters() -> None:
    vcode = VCode("%swap")
    a, b, p, q = (vcode.new_vreg(0) for _ in range(4))
    block(vcode, MInst(ANY, [a, b], (d(0), d(1))), MInst(JUMP, []))
    block(vcode, MInst(ANY, [p, q], (u(0), u(1))), MInst(JUMP, []))
    vcode.blocks[0].succs, vcode.blocks[0].args = [1], [a, b]
    vcode.blocks[1].succs, vcode.blocks[1].args = [1], [q, p]
    vcode.blocks[1].preds, vcode.blocks[1].params = [0, 1], [p, q]
    allocation = sound(vcode)
    assert allocation.edits == {3: [(16, 0), (0, 1), (1, 16)]} or allocation.edits == {
        3: [(16, 1), (1, 0), (0, 16)]
    }


def test_a_move_is_coalesced() -> None:
    vcode = straight(2, inst("a", d(0)), inst("ba", d(0), u(1)), inst("b", u(0)))
    vcode.blocks[0].insts[1] = MInst(MOVES[0], [FIRST_VREG + 1, FIRST_VREG])
    assert sound(vcode).locations[1] == [0, 0]


@pytest.mark.parametrize(("blocks", "length"), [(1, 8000), (60, 60)])
def test_long_functions(blocks: int, length: int) -> None:
    rng = Random(2)
    env = fake_env(4, 4)
    vcode = random_vcode(rng, env, blocks=blocks, length=length, pressure=40, shuffle=False)
    assert sum(len(block.insts) for block in vcode.blocks) > 1000
    check_allocation(vcode, allocate(vcode, env), env)


@pytest.mark.parametrize(
    "bad",
    [
        inst("ab", u(0, fixed=1), u(1, fixed=1)),
        inst("cd", d(0, fixed=1), d(1, fixed=1)),
        inst("a", u(0, fixed=16)),
    ],
)
def test_contradictions_are_refused(bad: MInst) -> None:
    with pytest.raises(InternalError):
        allocate(straight(4, inst("ab", d(0), d(1)), bad), ENV3)


def test_a_jump_with_operands_is_refused() -> None:
    vcode = straight(1, inst("a", d(0)), inst("a", u(0)))
    vcode.blocks[0].succs = [1]
    block(vcode, MInst(ANY, [])).preds = [0]
    with pytest.raises(InternalError, match="one successor"):
        allocate(vcode, ENV3)
