"""JSON: what is written is what is read, and the same bytes each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuzzer.report.document import SCHEMA, DocumentError, from_json, to_json
from fuzzer.report.text import visible
from tests.unit.fuzzer.report import sample


def test_round_trip(tmp_path: Path) -> None:
    summary = sample.quiet(
        tmp_path, findings=sample.findings(tmp_path)[:3], options={"b": True, "a": 3}
    )
    again = from_json(to_json(summary))
    assert again == summary
    assert type(again) is type(summary)
    assert again.new == summary.new


def test_half_a_surrogate_pair_is_spelt_out(tmp_path: Path) -> None:
    again = from_json(to_json(sample.summary(tmp_path)))
    assert again.findings[-1].detail == visible(sample.HOSTILE)
    assert again.findings[0] == sample.summary(tmp_path).findings[0]


def test_the_order_of_names_does_not_show(tmp_path: Path) -> None:
    one = sample.quiet(tmp_path, unsupported={"a": 1, "b": 2}, options={"x": 1, "y": False})
    two = sample.quiet(tmp_path, unsupported={"b": 2, "a": 1}, options={"y": False, "x": 1})
    assert to_json(one) == to_json(two)
    document = json.loads(to_json(one))
    assert list(document)[:3] == ["schema", "target", "isas"]
    assert document["schema"] == SCHEMA


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "target": 3}', b"\xff", "[" * 10_000]
)  # fmt: skip
def test_what_is_no_summary_is_refused_in_one_line(text: str | bytes) -> None:
    with pytest.raises(DocumentError) as error:
        from_json(text)
    assert "\n" not in str(error.value)
    assert f"schema {SCHEMA}" in str(error.value)
