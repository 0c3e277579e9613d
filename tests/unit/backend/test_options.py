from __future__ import annotations

import pytest

from backend.isa import ISA_NAMES, isa_named
from backend.options import OPTIONS, OptionError, Options, Value, features_of


def test_defaults_are_the_first_values() -> None:
    options = Options()
    assert all(getattr(options, row.name) == row.values[0] for row in OPTIONS)
    assert options.to_dict() == {}


def test_there_and_back() -> None:
    given: dict[str, Value] = {"registers": 3, "disabled_rules": "pool", "check_allocation": False}
    assert Options.from_dict(given).to_dict() == given


@pytest.mark.parametrize(("given", "message"), [
    ({"register": 3}, "no option 'register'"),
    ({"registers": 1}, "option registers can't be 1; it can be 0, 3"),
    ({"check_allocation": 1}, "option check_allocation can't be 1"),
])  # fmt: skip
def test_a_wrong_option_is_one_clear_line(given: dict[str, Value], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Options.from_dict(given)


def test_features_are_off_by_default_and_of_one_isa() -> None:
    assert features_of("aarch64") == ()
    names = features_of("x86_64")
    assert {"has_sse41", "has_popcnt", "has_bmi1", "has_lzcnt"} <= {*names}
    assert Options().features("x86_64") == ()
    options = Options.from_dict({"has_popcnt": True})
    assert options.features("x86_64") == ("has_popcnt",)
    assert options.features("aarch64") == ()


def test_what_needs_a_feature_is_there_only_with_it() -> None:
    isa = isa_named("x86_64")
    needed = {rule.needs for rule in isa.rules} - {""}
    assert needed == {*features_of("x86_64")}
    for name in needed:
        mine = {rule.index for rule in isa.rules if rule.needs == name}
        for on in (False, True):
            dispatch = isa.rule_set.dispatch("", (name,) if on else ())
            there = {wanted[0].index for table in dispatch.all() for tried in table.wanted.values()
                     for wanted in tried}  # fmt: skip
            assert (mine <= there) is on
            assert bool(mine & there) is on


def test_every_group_of_rules_can_be_disabled() -> None:
    row = next(row for row in OPTIONS if row.name == "disabled_rules")
    groups = {group for isa in ISA_NAMES for group in isa_named(isa).rule_set.groups()}
    assert set(row.values) == {"", *groups}
