from __future__ import annotations

import pytest

from backend.isa import isa_named
from backend.options import OPTIONS, OptionError, Options, Value


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


def test_every_group_of_rules_can_be_disabled() -> None:
    row = next(row for row in OPTIONS if row.name == "disabled_rules")
    assert set(row.values) == {"", *isa_named("aarch64").rule_set.groups()}
