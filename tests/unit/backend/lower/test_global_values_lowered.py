"""Global values in machine code: whoever compiles, what is reached from a context is what the reference reaches."""

from __future__ import annotations

import pytest

from backend.ir.parser import parse_function
from backend.ir.verifier import verify
from backend.isa import ISA_NAMES
from fuzzer.case import DATA_BASE, Case
from fuzzer.outcome import Returned, Trapped
from fuzzer.targets import TargetUnavailable, target_named
from fuzzer.trial import run_trial

#: a pointer to byte 64 at byte 8, one to byte 8 at byte 64, one to nowhere at byte 16
_MEMORY = bytearray(range(256)) * 16
_MEMORY[8:16] = (DATA_BASE + 64).to_bytes(8, "little")
_MEMORY[64:72] = (DATA_BASE + 8).to_bytes(8, "little")
_MEMORY[16:24] = bytes(8)

DECLARATIONS = {
    "context": ["gv0 = vmctx"],
    "distance": ["gv1 = vmctx", "gv0 = iadd_imm.i64 gv1, 100"],
    "back": ["gv1 = vmctx", "gv2 = iadd_imm.i64 gv1, 0x1_0000_0100", "gv0 = iadd_imm.i64 gv2, -0x1_0000_0000"],
    "loaded": ["gv1 = vmctx", "gv0 = load.i64 notrap aligned gv1+8"],
    "loaded twice": ["gv1 = vmctx", "gv2 = load.i64 gv1+8", "gv0 = load.i64 readonly gv2"],
    "beyond what is loaded": ["gv1 = vmctx", "gv2 = load.i64 gv1+8", "gv0 = iadd_imm.i64 gv2, 5"],
    "a pointer out of bounds": ["gv1 = vmctx", "gv2 = load.i64 gv1+16", "gv0 = load.i64 user7 gv2"],
    "a place out of bounds": ["gv1 = vmctx", "gv0 = load.i64 gv1+4090"],
}  # fmt: skip


@pytest.mark.parametrize("level", ["none", "speed"])
@pytest.mark.parametrize("isa", ISA_NAMES)
@pytest.mark.parametrize("who", ["builtin", "llvm"])
def test_it_is_what_the_reference_reaches(who: str, isa: str, level: str) -> None:
    try:
        target = target_named(who)
    except TargetUnavailable as reason:
        pytest.skip(str(reason))
    stopped = set()
    for name, lines in DECLARATIONS.items():
        text = "\n".join(lines)
        function = parse_function(f"""function %f(i8, i64 vmctx, i32) -> i32, i64 {{
{text}
block0(v0: i8, v1: i64, v2: i32):
    v3 = global_value.i64 gv0
    v4 = load.i32 v3+4
    v5 = isub v3, v1
    v6 = iadd v4, v2
    return v6, v5
}}""")
        verify(function)
        options = dict(target.opt_levels[level])
        case = Case(function, [(1, DATA_BASE, 3)], isa=isa, memory=bytes(_MEMORY), options=options)
        trial, found = run_trial(case, target, thorough=True)
        assert not trial.unsupported, name
        assert not found, (name, found[0].detail)
        (outcome,) = trial.outcomes
        assert isinstance(outcome, Returned | Trapped)
        stopped.add((name, outcome.code if isinstance(outcome, Trapped) else ""))
    assert {why for _, why in stopped} == {"", "user7", "heap_oob"}
