"""What is changed about a case to see what is wrong: the options that its ISA has, and no others."""

from __future__ import annotations

from backend.ir.parser import parse_function
from fuzzer.case import Case
from fuzzer.explain.toggles import changes
from fuzzer.targets import target_named

TEXT = "function %f(i32) -> i32 {\nblock0(v0: i32):\n    v1 = popcnt v0\n    return v1\n}"


def tried(isa: str, **options: bool | int | str) -> dict[str, Case]:
    case = Case(parse_function(TEXT), [(1,)], isa=isa, options=dict(options))
    return {change.what: change.case for change in changes(case, target_named("builtin"), [])}


def test_features_are_turned_on_and_off_on_the_isa_that_has_them() -> None:
    assert tried("x86_64")["has_popcnt=true"].options == {"has_popcnt": True}
    assert "has_popcnt=false" in tried("x86_64", has_popcnt=True)
    assert tried("x86_64")["long_branches=true"].options == {"long_branches": True}
    assert not any(what.startswith(("has_", "long_")) for what in tried("aarch64"))


def test_another_isa_is_tried_without_what_it_does_not_have() -> None:
    other = tried("x86_64", has_popcnt=True, registers=4)["isa=aarch64"]
    assert (other.isa, other.options) == ("aarch64", {"registers": 4})
