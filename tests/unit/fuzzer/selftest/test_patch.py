"""Patches change what they say, refuse what no longer fits, and leave nothing behind."""

from __future__ import annotations

import contextlib

import pytest

from backend.isa import isa_named
from backend.isa.aarch64.labels import label_uses
from backend.machine.code import CodeBuffer
from fuzzer.selftest import patch
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import bits, edited, item, row, rule
from fuzzer.selftest.witness import case_of, clif


def _double(number: int) -> int:
    return 2 * number


def test_edited_changes_the_function_for_everyone_and_restores_it() -> None:
    held, code = _double, _double.__code__
    with edited(_double, "2 * number", "3 * number"):
        assert held(5) == 15
        with edited(_double, "3 *", "4 *"):
            assert held(5) == 20
        assert held(5) == 15
    assert held(5) == 10
    assert _double.__code__ is code


@pytest.mark.parametrize("text", ["7 * number", "number"])
def test_edited_refuses_text_that_does_not_occur_exactly_once(text: str) -> None:
    with pytest.raises(ValueError, match="times"), edited(_double, text, "0"):
        pass


def test_edited_restores_after_an_exception() -> None:
    with contextlib.suppress(KeyError), edited(_double, "2 *", "3 *"):
        raise KeyError
    assert _double(5) == 10


def test_edited_makes_a_cached_function_forget() -> None:
    before = label_uses(0)["cond19"].max_pos
    with edited(label_uses, "_reach(bits, 4)", "_reach(bits - 1, 4)"):
        assert label_uses(0)["cond19"].max_pos < before
    assert label_uses(0)["cond19"].max_pos == before


def test_edited_works_on_methods() -> None:
    with edited(CodeBuffer.put4, "self.length = at + 4", "self.length = at + 8"):
        buffer = CodeBuffer(16)
        buffer.put4(0)
        assert buffer.length == 8
    buffer.put4(0)
    assert buffer.length == 12


def test_item_removes_what_was_not_there() -> None:
    table = {1: "one"}
    with item(table, 1, "eins"), item(table, 2, "zwei"):
        assert table == {1: "eins", 2: "zwei"}
    assert table == {1: "one"}


def test_row_changes_bits_and_text_and_restores_both() -> None:
    changed = isa_named(patch.ISA).table["asr_rr.w"]
    before = changed.encode([0, 1, 2]), changed.text([0, 1, 2])
    with row("asr_rr.w", pattern=changed.pattern.replace("001010", "001001"),
             template=changed.template.replace("asr", "lsr")):  # fmt: skip
        assert changed.encode([0, 1, 2]) == before[0] ^ 0b11 << 10
        assert changed.text([0, 1, 2]) == "lsr w0, w1, w2"
    assert (changed.encode([0, 1, 2]), changed.text([0, 1, 2])) == before


def test_bits_refuses_a_pattern_that_has_changed() -> None:
    with pytest.raises(ValueError, match="times"), bits("asr_rr.w", "111111", "000000"):
        pass


def test_rule_is_compiled_anew_and_the_old_ones_come_back() -> None:
    rules = isa_named(patch.ISA).rule_set
    before = rules.dispatch()
    with rule("ineg", emit=("neg_rr", "mvn_rr")):
        assert rules.dispatch() is not before
    assert rules.dispatch() is before
    with pytest.raises(ValueError, match="no rule"), rule("no_such_rule", when=""):
        pass


def test_witness_is_a_case() -> None:
    text = clif(
        "i64 i8",
        "i8",
        "v2 = ineg v1; jump block1(v2); block1(v3: i8):; return v3",
        "5, -1",
        memory=1024,
    )
    case = case_of(
        Bug("a-b", "x", "", "result", 1, text, lambda: contextlib.nullcontext(), (("pad", 33000),))
    )
    assert case.inputs == [(5, 255)]
    assert case.memory == bytes(1024)
    assert case.options == {"pad": 33000}
    assert case.function.instruction_count() == 3


def test_witness_needs_an_input() -> None:
    text = clif("", "", "return").replace("; input: ", "; inputs: ")
    with pytest.raises(ValueError, match="no input"):
        case_of(Bug("a-b", "x", "", "result", 1, text, lambda: contextlib.nullcontext()))
