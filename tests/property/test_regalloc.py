"""Allocation of random programs: the checker accepts it, running it shows no difference, and it is sensitive.

Programs are drawn from a seed: any control flow, both classes, every kind of operand, up to 40 values in use,
3 to 8 registers (see ``fake_isa``).
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import AllocationError
from backend.machine.registers import MachineEnv
from backend.machine.vcode import Allocation, VCode, check_shape
from backend.regalloc.allocate import allocate
from backend.regalloc.checker import check_allocation
from tests.property.fake_isa import fake_env, random_vcode, run_allocated, run_virtual


@st.composite
def programs(draw: st.DrawFn) -> tuple[VCode, MachineEnv, Random]:
    rng = Random(draw(st.integers(0, 1 << 32)))
    env = fake_env(draw(st.integers(3, 8)), draw(st.integers(3, 8)), rng)
    vcode = random_vcode(
        rng,
        env,
        blocks=draw(st.integers(1, 8)),
        length=draw(st.integers(1, 13)),
        pressure=draw(st.sampled_from([4, 12, 40])),
        special=draw(st.sampled_from([0.0, 0.2, 0.6])),
        shuffle=draw(st.booleans()),
    )
    return vcode, env, rng


@given(programs())
@settings(max_examples=400, deadline=None)
def test_allocated_code_does_what_the_program_does(
    program: tuple[VCode, MachineEnv, Random],
) -> None:
    vcode, env, _ = program
    check_shape(vcode)
    allocation = allocate(vcode, env)
    check_allocation(vcode, allocation, env)
    assert run_allocated(vcode, allocation) == run_virtual(vcode)


def copy_of(allocation: Allocation) -> Allocation:
    copy = Allocation()
    copy.locations = [list(places) for places in allocation.locations]
    copy.edits = {i: list(moves) for i, moves in allocation.edits.items()}
    copy.spill_classes = list(allocation.spill_classes)
    return copy


def mutate(allocation: Allocation, env: MachineEnv, rng: Random) -> None:
    """Spoil one edit or one location in place."""
    anywhere = [*range(64), *(-1 - slot for slot in range(len(allocation.spill_classes)))]
    if allocation.edits and rng.random() < 0.7:
        moves = allocation.edits[rng.choice(sorted(allocation.edits))]
        n = rng.randrange(len(moves))
        to, source = moves[n]
        kind = rng.randrange(4)
        if kind == 0:
            del moves[n]
        elif kind == 1:
            moves[n] = (rng.choice(anywhere), source)
        elif kind == 2:
            moves[n] = (to, rng.choice(anywhere))
        else:
            moves.insert(rng.randrange(len(moves)), moves.pop(n))
    else:
        places = rng.choice([places for places in allocation.locations if places])
        places[rng.randrange(len(places))] = rng.choice(env.allocatable[0] + env.allocatable[1])


@given(programs())
@settings(max_examples=150, deadline=None)
def test_the_checker_refuses_what_runs_differently(
    program: tuple[VCode, MachineEnv, Random],
) -> None:
    vcode, env, rng = program
    allocation = allocate(vcode, env)
    expected = run_virtual(vcode)
    for _ in range(8):
        spoilt = copy_of(allocation)
        mutate(spoilt, env, rng)
        if run_allocated(vcode, spoilt) != expected:
            with pytest.raises(AllocationError):
                check_allocation(vcode, spoilt, env)


def test_mutations_matter() -> None:
    """The property above is not idle: about half of the mutations change what runs."""
    different = 0
    for seed in range(40):
        rng = Random(seed)
        env = fake_env(4, 4, rng)
        vcode = random_vcode(rng, env, pressure=20)
        allocation = allocate(vcode, env)
        mutate(allocation, env, rng)
        different += run_allocated(vcode, allocation) != run_virtual(vcode)
    assert different >= 10


@given(programs())
@settings(max_examples=50, deadline=None)
def test_allocation_is_deterministic(program: tuple[VCode, MachineEnv, Random]) -> None:
    vcode, env, _ = program
    once, again = allocate(vcode, env), allocate(vcode, env)
    assert once.locations == again.locations
    assert once.edits == again.edits
    assert once.spill_classes == again.spill_classes
