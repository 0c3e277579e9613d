"""Gathering: findings in order, each with the function that its entry holds, or the reason why not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fuzzer.report.exhibit import gather
from tests.unit.fuzzer.report import sample


@pytest.fixture(autouse=True)
def _no_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)


def test_new_findings_come_first_and_in_order_of_time(tmp_path: Path) -> None:
    report = gather(sample.summary(tmp_path), sample.explanations(), tmp_path)
    assert [(e.row.verdict, e.row.seconds) for e in report.exhibits] == [
        ("new", 12.5), ("new", 31.0), ("new", 44.0), ("new", 47.2), ("new", 52.0), ("known", 3.0),
    ]  # fmt: skip
    assert [e.row.check for e in report.of("memory", "riscv64")] == ["memory"]
    assert not report.of("memory", "aarch64")


def test_the_function_is_taken_out_of_its_entry(tmp_path: Path) -> None:
    report = gather(sample.summary(tmp_path), sample.explanations(), tmp_path)
    exhibit = report.exhibits[0]
    assert exhibit.function == sample.CLAMP
    assert exhibit.line == sample.HEADER_LINES + 1
    assert exhibit.name == "%f"
    assert exhibit.line_of("v3 =  icmp slt v2, v1") == exhibit.line + 3
    assert exhibit.line_of("v3 = icmp slt v2, v1", after=exhibit.line + 3) == 0
    assert exhibit.explanation == sample.explanations()["a1b2c3d4e5f6"]


def test_paths_start_from_the_working_directory_or_githubs_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = sample.summary(tmp_path)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert gather(summary, {}, tmp_path).exhibits[0].path.startswith("/")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert gather(summary, {}, tmp_path).exhibits[0].path == (
        "corpus/mismatch/result-builtin-aarch64-a1b2c3d4e5f6.clif"
    )
    monkeypatch.delenv("GITHUB_WORKSPACE")
    monkeypatch.chdir(tmp_path)
    assert gather(summary, {}, tmp_path).exhibits[0].path.startswith("corpus/")


def test_an_entry_that_cant_be_read_has_a_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.clif")
    (tmp_path / "binary.clif").write_bytes(b"; /// clifhanger\n\xff")
    (tmp_path / "empty.clif").write_text("; nothing\n")
    (tmp_path / "open.clif").write_text("function u0:7() {\nblock0:\n")
    reasons = {
        "missing.clif": "No such file",
        "pipe.clif": "not a regular file",
        "binary.clif": "not UTF-8",
        "empty.clif": "no function in it",
        "nul\0.clif": "null byte",
        "open.clif": "",
    }
    rows = [sample.finding(tmp_path, f"{n:012x}", path=str(tmp_path / name), seconds=float(n))
            for n, name in enumerate(reasons)]  # fmt: skip
    report = gather(sample.quiet(tmp_path, findings=rows), {}, tmp_path)
    for exhibit, reason in zip(report.exhibits, reasons.values(), strict=True):
        assert reason in exhibit.missing
        assert bool(exhibit.missing) == bool(reason)
    assert report.exhibits[-1].function == "function u0:7() {\nblock0:\n"
    assert report.exhibits[-1].name == "u0:7"
