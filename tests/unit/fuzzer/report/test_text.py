"""Words: nothing unprintable gets through, and the commands are ones that the command line takes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzer.cli.fuzz import command as fuzz
from fuzzer.report.text import (
    duration,
    entry_command,
    one_line,
    plural,
    repeat_command,
    short,
    verdict_of,
    visible,
)
from tests.unit.fuzzer.report import sample


@given(st.text(st.characters(codec=None)))
def test_what_is_visible_is_printable_and_can_be_encoded(text: str) -> None:
    shown = visible(text)
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    shown.encode()
    assert one_line(text).isprintable()
    assert visible(shown) == shown


def test_unprintable_characters_are_spelt_out() -> None:
    assert visible("a\x1b[0m\x00\u202e\ud800\U000e0001\r\nb") == (
        "a\\x1b[0m\\x00\\u202e\\ud800\\U000e0001\\x0d\nb"
    )
    assert one_line("a\n\tb") == "a\\n\\tb"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (1999, "1.9k"), (9999, "9.9k"), (10_000, "10k"),
     (999_999, "999k"), (3_100_000, "3.1M"), (2 * 10**9, "2.0G")],
)  # fmt: skip
def test_short_numbers(number: int, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (119, "119s"), (125, "2m05s"), (3725, "62m05s"), (7320, "2h02m")]
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plurals() -> None:
    assert plural(1, "finding") == "1 finding"
    assert plural(1200, "try", "tries") == "1,200 tries"


def test_the_verdict_says_the_worst_first(tmp_path: Path) -> None:
    full = sample.summary(tmp_path)
    assert verdict_of(full) == "5 new findings and 1 known finding, 1 internal error, interrupted"
    assert verdict_of(sample.quiet(tmp_path)) == "No findings"
    again = sample.quiet(tmp_path, known=3)
    assert verdict_of(again) == "No new findings, known ones met 3 times"
    refused = sample.quiet(tmp_path, functions=4, unsupported={"f32": 4})
    assert verdict_of(refused) == "Nothing was tested"


def test_the_repeat_command_is_one_that_fuzz_takes(tmp_path: Path) -> None:
    words = shlex.split(repeat_command(sample.summary(tmp_path)))
    assert words[:2] == ["clifhanger", "fuzz"]
    context = fuzz.make_context("fuzz", words[2:])
    given_ = context.params
    assert given_["seed"] == 0x5EED
    assert given_["shard"] == (1, 4)
    assert given_["functions"] == 31210
    assert given_["options"] == ("opt_level=speed", "registers=8", "veneers=yes")
    assert given_["plant"] == "caller-frame"


def test_a_shard_of_one_is_not_named(tmp_path: Path) -> None:
    assert "--shard" not in repeat_command(sample.quiet(tmp_path))


def test_commands_on_entries_survive_a_shell(tmp_path: Path) -> None:
    row = sample.finding(tmp_path, "000000000000", path="a b/$(reboot)\x1b;.clif")
    words = shlex.split(entry_command("replay", row, sample.summary(tmp_path)))
    assert words == ["clifhanger", "replay", "--planted", "a b/$(reboot)\\x1b;.clif"]
    words = shlex.split(entry_command("explain", row, sample.quiet(tmp_path)))
    assert words[:2] == ["clifhanger", "explain"]
    assert "--planted" not in words
