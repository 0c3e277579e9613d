"""LLVM's process: one for each set of flags, its death an outcome of the case, and what it says told apart."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

pytest.importorskip("llvmlite")

from backend.errors import Unsupported
from backend.ir.parser import parse_function
from fuzzer.case import Case, OptionValue
from fuzzer.targets import target_named
from fuzzer.targets.llvm import Llvm
from fuzzer.targets.llvm_complaints import complaint, explained
from fuzzer.targets.llvm_options import FEATURES, OPTIONS, features, flags
from fuzzer.targets.target import CompileError, TargetDied, TargetUnavailable
from fuzzer.trial import run_trial

TEXT = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = imul v0, v1
    v3 = popcnt v2
    return v3
}"""

CHOICES = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = iconst.i64 12345678
    v3 = imul v0, v2
    v4 = udiv v3, v2
    v5 = bxor_not v4, v1
    v6 = icmp ult v5, v2
    v7 = select v6, v0, v4
    return v7
}"""


def case_of(isa: str = "aarch64", **options: OptionValue) -> Case:
    return Case(parse_function(TEXT), [(3, 5), (7, 1 << 63)], isa=isa, options=options)


@pytest.fixture(scope="module")
def llvm() -> Llvm:
    target = target_named("llvm")
    assert isinstance(target, Llvm)
    return target


def children(pid: int) -> set[int]:
    """Processes that ``pid`` has forked and that live."""
    found = set()
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = each.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.add(int(each.parent.name))
    return found


def lives(pid: int) -> bool:
    """Within a second, which a process that was killed may take to end; one that nobody has reaped is dead."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.01)
    return True


def mine(target: Llvm) -> set[int]:
    (pid,) = target.server.process_ids()
    return children(pid)


@pytest.mark.parametrize("isa", ["aarch64", "x86_64"])
@pytest.mark.parametrize("name", ["isel", "gisel_abort", "verify", "features"])
def test_every_value_of_an_option_compiles_and_runs(llvm: Llvm, isa: str, name: str) -> None:
    (option,) = [option for option in llvm.options_of(isa) if option.name == name]
    for value in option.values:
        for level in llvm.opt_levels.values():
            others = {"isel": "global"} if name == "gisel_abort" else {}
            trial, found = run_trial(case_of(isa, **{**level, **others, name: value}), llvm)
            assert found == []
            assert trial.unsupported == "" or value == 1


def test_options_make_a_difference(llvm: Llvm) -> None:
    function = parse_function(CHOICES)
    code = [
        llvm.compile(Case(function, [(1, 2)], options={"midend": False, **options})).code
        for options in (
            {"isel": "default"}, {"isel": "fast"}, {"isel": "global"}, {"gisel_abort": 2}, {"verify": True},
        )
    ]  # fmt: skip
    assert len(set(code[:3])) == 3
    assert code[3] == code[4] == code[0]
    plain = llvm.compile(case_of("x86_64")).code
    assert b"\xf3\x48\x0f\xb8" not in plain
    assert b"\xf3\x48\x0f\xb8" in llvm.compile(case_of("x86_64", features="sse4.2,popcnt")).code


def test_options_as_flags() -> None:
    assert flags({}) == flags({"gisel_abort": 2, "opt_level": 0}) == ""
    assert flags({"isel": "fast", "verify": True}) == "-fast-isel -verify-machineinstrs"
    assert flags({"isel": "global"}) == "-global-isel -global-isel-abort=0"
    assert flags({"isel": "global", "gisel_abort": 1}) == "-global-isel -global-isel-abort=1"
    assert features("x86_64", {"features": "sse4.2,popcnt"}) == "+sse4.2,+popcnt"
    assert features("aarch64", {"features": "sse4.2,popcnt"}) == features("x86_64", {}) == ""


def test_no_feature_is_encoded_with_vex() -> None:
    """The emulator runs such instructions wrong (fuzzer/execute/machines.py)."""
    for value in FEATURES["x86_64"]:
        assert not {"avx", "avx2", "bmi", "bmi2", "fma", "f16c"} & {*value.split(",")}


def test_the_first_value_is_what_shrinking_leads_to() -> None:
    defaults = {option.name: option.default for option in OPTIONS}
    assert flags(defaults) == features("x86_64", defaults) == ""


def test_llvm_knows_every_feature(llvm: Llvm) -> None:
    for isa, values in FEATURES.items():
        for value in values:
            llvm.renew()
            llvm.compile(case_of(isa, features=value))
            assert "not a recognized feature" not in llvm.server.said


def test_a_set_of_flags_has_a_process_and_keeps_it() -> None:
    target = Llvm()
    for _ in range(2):
        for isel in ("default", "fast", "global"):
            target.compile(case_of(isel=isel))
            target.compile(case_of("x86_64", isel=isel, opt_level=0))
        if _ == 0:
            first = mine(target)
            assert len(first) == 3
    assert mine(target) == first
    target.server.stop()


def in_nursery(
    target: Llvm, count: int = 2, before: AbstractSet[int] = frozenset()
) -> tuple[int, set[int]]:
    """The nursery of what was asked last, once it has as many compilers, others than ``before``, and those."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for pid in mine(target):
            waiting = children(pid)
            if len(waiting) == count and waiting != before:
                return pid, waiting
        time.sleep(0.01)
    raise AssertionError("no nursery")


def test_a_renewed_one_is_another_process() -> None:
    target = Llvm()
    code = target.compile(case_of()).code
    (first,) = mine(target)
    server = target.server.process_ids()
    target.renew()
    assert target.compile(case_of()).code == code
    in_nursery(target)
    after = mine(target)
    assert first not in after
    assert target.compile(case_of()).code == code
    assert mine(target) == after
    assert target.server.process_ids() == server
    target.server.stop()


def test_many_renewed_ones_are_forked_ahead_and_each_has_one_question() -> None:
    target = Llvm()
    code = target.compile(case_of()).code
    target.renew()
    target.compile(case_of())
    nursery, waiting = in_nursery(target)
    seen = set(waiting)
    for _ in range(3):
        target.renew()
        assert target.compile(case_of()).code == code
        again, now = in_nursery(target, before=waiting)
        assert again == nursery
        assert len(waiting - now) == 1
        assert not (now - waiting) & seen
        seen |= now
        waiting = now
    server = target.server.process_ids()
    target.server.stop()
    assert not any(lives(pid) for pid in (*server, nursery, *waiting))


def test_one_that_dies_in_a_nursery_dies_as_any_other() -> None:
    target = Llvm()
    keys = set()
    for _ in range(4):
        target.renew()
        with pytest.raises(CompileError, match="while compiling") as caught:
            asked(target, _FATAL)
        keys.add(caught.value.key)
    assert len(keys) == 1
    in_nursery(target)
    target.server.stop()


def test_a_nursery_that_dies_is_done_without() -> None:
    target = Llvm()
    code = target.compile(case_of()).code
    target.renew()
    target.compile(case_of())
    nursery, waiting = in_nursery(target)
    os.kill(nursery, signal.SIGKILL)
    for _ in range(2):
        target.renew()
        assert target.compile(case_of()).code == code
    assert not any(lives(pid) for pid in (nursery, *waiting))
    target.server.stop()


def test_there_are_few_nurseries() -> None:
    target = Llvm()
    for level in (0, 1, 2, 3):
        target.renew()
        target.compile(case_of(opt_level=level))
    end = time.monotonic() + 10
    while len(mine(target)) != 3 and time.monotonic() < end:
        time.sleep(0.01)  # one that is given up ends when it likes, and another begins
    assert len(mine(target)) == 3  # two of them, and the compiler
    target.server.stop()


def test_one_that_is_killed_is_asked_again() -> None:
    target = Llvm()
    code = target.compile(case_of()).code
    (first,) = mine(target)
    os.kill(first, signal.SIGKILL)
    assert target.compile(case_of()).code == code
    assert mine(target) != {first}
    target.server.stop()


def test_without_llvmlite_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzzer.targets.llvm.find_spec", lambda name: None)
    with pytest.raises(TargetUnavailable, match=r"pip install 'clifhanger\[llvm\]'"):
        target_named("llvm")


def test_an_llvmlite_that_does_not_load_is_no_finding() -> None:
    class Broken(Llvm):
        command = (sys.executable, "-c", "raise ImportError('libllvmlite.so: wrong ELF class')")

    with pytest.raises(TargetUnavailable, match="wrong ELF class"):
        Broken().compile(case_of())


def test_nothing_is_left_behind() -> None:
    target = Llvm()
    target.compile(case_of())
    (server,), (compiler,) = target.server.process_ids(), mine(target)
    target.server.stop()
    assert not lives(server)
    assert not lives(compiler)


def test_a_compiler_does_not_outlive_who_reads_the_questions() -> None:
    """Not even one that is busy: one that is stopped will never see the end of its questions."""
    target = Llvm()
    target.compile(case_of())
    (server,), (compiler,) = target.server.process_ids(), mine(target)
    os.kill(compiler, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)
    end = time.monotonic() + 10
    while lives(compiler):
        assert time.monotonic() < end
        time.sleep(0.01)


#: a fatal error without an error's text of LLVM's binding: no such pseudo-register
_FATAL = """define i64 @f() {
  %a = call i64 @llvm.read_register.i64(metadata !0)
  ret i64 %a
}
declare i64 @llvm.read_register.i64(metadata)
!0 = !{!"nosuch"}
"""


def asked(target: Llvm, ir: str) -> str:
    question = {**target._question(case_of(), ir), "midend": "no"}
    return target._answer(question)


def test_a_fatal_error_is_the_case_s_outcome_and_the_next_is_compiled() -> None:
    target = Llvm()
    target.compile(case_of())
    server = target.server.process_ids()
    with pytest.raises(CompileError, match="while compiling") as caught:
        asked(target, _FATAL)
    assert caught.value.key.startswith("error ")
    target.compile(case_of())
    assert target.server.process_ids() == server
    target.server.stop()


def test_text_that_is_no_ir_is_the_translation_s_fault(llvm: Llvm) -> None:
    with pytest.raises(CompileError) as caught:
        asked(llvm, "define nonsense")
    assert caught.value.key == "translation"


def test_a_selector_that_is_alone_with_what_it_can_t_do_is_unsupported(llvm: Llvm) -> None:
    """GlobalISel has no rule for i128 of this kind on x86-64; whoever else it is may change."""
    text = """function %f(f64, i128) -> f64 {
block0(v0: f64, v1: i128):
    v2 = fcvt_from_sint.f64 v1
    v3 = fadd v2, v0
    return v3
}"""
    options: dict[str, OptionValue] = {"isel": "global", "gisel_abort": 1, "midend": False}
    case = Case(parse_function(text), [(1, 5)], isa="x86_64", options=options)
    with pytest.raises(Unsupported, match=r"^(unable|cannot)"):
        llvm.compile(case)
    options["gisel_abort"] = 0
    assert run_trial(case, llvm)[1] == []


@pytest.mark.parametrize(
    ("said", "supported", "key"),
    [
        ("LLVM ERROR: Cannot select: t17: i32 = AArch64ISD::CMP t4, Constant:i32<7>\nIn function: f\n",
         False, "Cannot select: i32 AArch64ISD::CMP Constant:i32<7>"),
        ("LLVM ERROR: unable to legalize instruction: %5:_(s128) = G_UDIV %3:_, %4:_ (in function: f)\n",
         False, "unable to legalize instruction: (s128) G_UDIV"),
        ("LLVM ERROR: Do not know how to expand this operator!\n", False, "Do not know how to expand this operator!"),
        ("python3.11: /src/llvm/lib/CodeGen/Foo.cpp:812: void llvm::f(int): Assertion `N > 3 && \"few\"' failed.\n",
         True, 'assertion Foo.cpp N > 3 && "few"'),
        ("invalid kind 7\nUNREACHABLE executed at /src/llvm/lib/X.cpp:55!\n",
         True, "unreachable X.cpp invalid kind #"),
        ("# Machine code for function f: IsSSA\n\n*** Bad machine code: Using an undefined physical register ***\n"
         "- function:    f\n- basic block: %bb.1 b0 (0x5581)\n- instruction: %4:gpr32 = COPY $w9\n"
         "- operand 1:   $w9\nLLVM ERROR: Found 1 machine code errors.\n",
         True, "verifier Using an undefined physical register"),
        ("LLVM ERROR: ran out of registers during register allocation in function 'f12'\n",
         True, "error ran out of registers during register allocation"),
        ("LLVM ERROR: failed to perform tail call elimination on t12: i64, at 0xab12\n",
         True, "error failed to perform tail call elimination on i# at"),
    ],
)  # fmt: skip
def test_what_it_says_is_told_apart(said: str, supported: bool, key: str) -> None:
    found = complaint(said)
    assert found is not None
    assert (found.supported, found.key) == (supported, key)
    outcome = explained(TargetDied(-6, said))
    assert isinstance(outcome, CompileError if supported else Unsupported)


def test_one_that_eats_memory_is_out_of_it() -> None:
    """The limit is the compiler's, too, though another process was limited."""
    target = Llvm()
    target.limit(seconds=60, memory=1 << 30)
    target.compile(case_of())
    huge = f'@y = global [{1 << 31} x i8] zeroinitializer, section ".data"\n'
    with pytest.raises(TargetDied, match="out of memory"):
        asked(target, huge)
    assert target.compile(case_of()).code
    target.server.stop()


def test_one_that_says_nothing_died_of_its_signal() -> None:
    died = TargetDied(-11, "")
    assert explained(died) is died
    starved = TargetDied(-6, "LLVM ERROR: out of memory\n")
    assert explained(starved) is starved
