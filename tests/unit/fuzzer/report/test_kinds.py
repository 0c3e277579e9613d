"""Which reports there are, and where they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzzer.report.document import from_json
from fuzzer.report.kinds import KINDS, UnknownKind, parse_kinds, write_reports
from tests.unit.fuzzer.report import sample


def test_every_kind_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    out = tmp_path / "deep" / "out"
    summary = sample.summary(tmp_path)
    paths = write_reports(list(KINDS), summary, sample.explanations(), out)
    assert [path.name for path in paths] == [
        "report.html",
        "junit.xml",
        "results.sarif",
        "report.json",
    ]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in paths)
    assert from_json((out / "report.json").read_bytes()).seed == summary.seed


def test_the_same_campaign_gives_the_same_files(tmp_path: Path) -> None:
    kinds = [kind.name for kind in KINDS.values() if kind.file]
    texts = [
        [path.read_bytes() for path in write_reports(kinds, sample.summary(tmp_path), sample.explanations(), tmp_path)]
        for _ in range(2)
    ]  # fmt: skip
    assert texts[0] == texts[1]


def test_an_unknown_kind_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownKind, match="no report 'pdf'; there are html, junit, sarif, json, github"
    ):
        write_reports(["json", "pdf"], sample.quiet(tmp_path), {}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_kinds_are_parsed_once_each() -> None:
    assert parse_kinds("sarif, html,sarif") == ("sarif", "html")
    for text in ("", "html,", "HTML", "html;rm"):
        with pytest.raises(UnknownKind) as error:
            parse_kinds(text)
        assert "\n" not in str(error.value)
