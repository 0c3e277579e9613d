"""``explain``: the culprit first, stages side by side where there is room, the exit status of replay."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from fuzzer.cli.explain import command
from fuzzer.corpus.entry import load_entry
from fuzzer.explain.model import Explanation

CORPUS = Path(__file__).resolve().parents[4] / "corpus"


def planted_with(plant: str) -> Path:
    return next(path for path in sorted(CORPUS.glob("*/*.clif")) if load_entry(path).plant == plant)


def run(*args: object, columns: int = 80) -> Result:
    return CliRunner(env={"COLUMNS": str(columns), "TERM": "dumb"}).invoke(
        command, [str(arg) for arg in args], catch_exceptions=False
    )


FILE = planted_with("select-swapped")


def test_wide_enough_the_stages_stand_side_by_side() -> None:
    result = run(FILE, "--planted", columns=140)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == (f"{FILE.stem} (builtin/aarch64): "
                        "lowering rule select_or_zero (row csel.w; gone without it)")  # fmt: skip
    head = next(line for line in lines if "CLIF" in line and "vcode" in line)
    assert head.split() == ["CLIF", "vcode", "assembly", "expected/got"]
    marked = [line for line in lines if line.startswith(">")]
    assert marked[0].split()[1:6] == ["v2", "=", "select", "v0,", "v0,"]
    assert "expected 0x2, got 0x0 in x0" in marked[0]
    assert "csel w0, wzr, w0, ne" in marked[1]
    assert any(line.split()[:2] == ["gone", "disabled_rules=select,"] for line in lines)


def test_on_eighty_columns_they_stand_below_each_other() -> None:
    result = run(FILE, "--planted")
    assert result.exit_code == 1
    assert all(len(line) <= 80 for line in result.output.splitlines())
    assert "expected/got" not in result.output
    lines = [line.strip() for line in result.output.splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith(">     v2 = select v0, v0, v1"))
    assert "expected 0x2, got 0x0 in x0" in lines[at]
    assert "%0 = csel.w xzr, %1, 1" in lines[at + 1 : at + 9]


def test_what_does_not_fail_needs_no_explanation() -> None:
    result = run(FILE)
    assert result.exit_code == 0
    assert "fixed: nothing to explain" in result.output
    assert "--planted plants it" in result.output
    seed = min((CORPUS / "seeds").glob("*.clif"))
    result = run(seed, columns=200)
    assert (result.exit_code, result.output) == (
        0, f"{seed.stem} (builtin/aarch64): clean: nothing to explain\n",
    )  # fmt: skip


def test_json_is_the_explanation() -> None:
    result = run(FILE, "--planted", "--json", "--steps", 3)
    assert result.exit_code == 1
    found = msgspec.json.decode(result.output, type=Explanation)
    assert (found.entry, found.verdict, found.executed) == (FILE.stem, "failing", 8)
    assert len(found.trace) == 3
    assert found.divergence is not None
    assert found.trace[found.divergence.step].text == "csel w0, wzr, w0, ne"


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.clif"
    broken.write_text("function %f() {\nblock0:\n    return\n}\n")
    text = FILE.read_text()
    hostile = tmp_path / "hostile.clif"
    hostile.write_text(text.replace('isa = "aarch64"', 'isa = "\\u001b[31m"'))
    for args in ([broken], [tmp_path / "none.clif"], [hostile], [FILE, "--isa", "vax"]):
        result = run(*args)
        assert result.exit_code == 2
        assert result.output.startswith("clifhanger: ")
        assert result.output.count("\n") == 1
        assert "\x1b" not in result.output


@pytest.mark.parametrize("plant", ["taken-twice", "hints-outlive-functions"])
def test_what_has_no_wrong_value_is_explained_all_the_same(plant: str) -> None:
    result = run(planted_with(plant), "--planted", columns=140)
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "toggles" in result.output
