"""Workflow commands and the job summary: escaped, counted, bounded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fuzzer.report.exhibit import gather
from fuzzer.report.github import LISTED, SHOWN, commands, job_summary, publish
from fuzzer.report.summary import Summary
from tests.unit.fuzzer.report import sample

COMMAND = re.compile(r"::(error|warning|notice) ([^:]*)::(.*)")


def parsed(text: str) -> list[tuple[str, dict[str, str], str]]:
    """The commands as GitHub's runner reads them: one a line, properties apart by commas, escapes undone."""
    found = []
    for line in text.splitlines():
        match = COMMAND.fullmatch(line)
        assert match is not None, line
        properties = dict(pair.split("=", 1) for pair in match[2].split(","))
        found.append(
            (match[1], {k: unescaped(v) for k, v in properties.items()}, unescaped(match[3]))
        )
    return found


def unescaped(text: str) -> str:
    for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, char)
    return text


def many(folder: Path, number: int, **row: Any) -> Summary:
    rows = [
        sample.finding(folder, f"{n:012x}", seconds=float(n), path=f"corpus/{n}.clif", **row)
        for n in range(number)
    ]
    return sample.quiet(folder, findings=rows)


def test_an_annotation_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    found = parsed(commands(gather(sample.summary(tmp_path), {}, tmp_path)))
    level, properties, message = found[0]
    assert level == "error"
    assert properties == {
        "file": "corpus/mismatch/result-builtin-aarch64-a1b2c3d4e5f6.clif",
        "line": str(sample.HEADER_LINES + 1),
        "title": "result on builtin/aarch64 (new, a1b2c3d4e5f6)",
    }
    assert message.startswith("result 0: expected 0x80000004, got 0x7fffffff\n41 -> 8 instructions")
    assert message.endswith("result-builtin-aarch64-a1b2c3d4e5f6.clif")
    assert [level for level, _, _ in found] == [
        *["error"] * 3, "warning", "error", "notice", "error",
    ]  # fmt: skip
    assert "1 internal error" in found[-1][2]


def test_hostile_text_stays_in_its_message(tmp_path: Path) -> None:
    text = commands(gather(sample.summary(tmp_path), {}, tmp_path))
    lines = [line for line in text.splitlines() if "deadbeef0001" in line]
    assert len(lines) == 1
    assert "%25" in lines[0]
    assert text.isascii()
    assert "\r" not in text


@pytest.mark.parametrize("number", [0, 1, SHOWN, SHOWN + 1, 500])
def test_never_more_than_ten(tmp_path: Path, number: int) -> None:
    found = parsed(commands(gather(many(tmp_path, number), {}, tmp_path)))
    assert len(found) == min(number, SHOWN + 1)
    if number > SHOWN:
        assert found[-1][2].startswith(f"{number - SHOWN} more finding")
        assert "file" not in found[-1][1]


@pytest.mark.parametrize(
    ("row", "level"),
    [({}, "error"), ({"suspect": "nondeterministic"}, "warning"), ({"verdict": "known"}, "notice")],
)
def test_the_rest_is_as_bad_as_the_worst_of_it(
    tmp_path: Path, row: dict[str, Any], level: str
) -> None:
    found = parsed(commands(gather(many(tmp_path, SHOWN + 2, **row), {}, tmp_path)))
    assert [each for each, _, _ in found] == [level] * (SHOWN + 1)


def test_the_summary_is_appended_where_github_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "step.md"
    path.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    report = gather(sample.summary(tmp_path), {}, tmp_path)
    assert publish(report) == [path]
    assert capsys.readouterr().out == commands(report)
    assert path.read_text() == f"before\n{job_summary(report)}\n"
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert publish(report) == []


def test_the_summary_holds_only_what_it_means_to(tmp_path: Path) -> None:
    text = job_summary(gather(sample.summary(tmp_path), {}, tmp_path))
    assert text.startswith(
        "## clifhanger: 5 new findings and 1 known finding, 1 internal error, interrupted\n"
    )
    assert set(re.findall(r"<[^>]*>", text)) == {"<code>", "</code>", "<br>"}
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 6
    assert {line.count("|") for line in table} == {8}
    assert "`" not in text
    assert "poison (known)" in text


def test_the_summary_is_bounded(tmp_path: Path) -> None:
    summary = many(tmp_path, 400)
    text = job_summary(gather(summary, {}, tmp_path))
    assert text.count("\n| **") == LISTED
    assert "and 300 more findings" in text
    long = [
        sample.finding(tmp_path, f"{n:012x}", detail="\x1b" * 100_000, path="x") for n in range(400)
    ]
    assert len(job_summary(gather(sample.quiet(tmp_path, findings=long), {}, tmp_path))) < 1 << 20
