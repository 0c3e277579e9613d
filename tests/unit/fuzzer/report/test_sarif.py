"""SARIF against the schema of OASIS, and what code scanning makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from msgspec import structs

from fuzzer.checks import CHECKS
from fuzzer.report.exhibit import gather
from fuzzer.report.sarif import FINGERPRINT, render
from fuzzer.report.summary import Summary
from tests.schemas import validator as schema_validator
from tests.unit.fuzzer.report import sample


def validator() -> Draft7Validator:
    return schema_validator(
        "(SARIF) Version 2.1.0 JSON Schema", "properties.runs", "definitions.result"
    )


def run_of(summary: Summary, folder: Path) -> dict[str, Any]:
    text = render(gather(summary, sample.explanations(), folder))
    log = json.loads(text)
    errors = [f"{error.json_path}: {error.message}" for error in validator().iter_errors(log)]
    assert errors == []
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_schema_refuses_what_is_wrong() -> None:
    wrong = {
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {"name": "x"}}, "results": [{"level": "bad"}]}],
    }
    assert not validator().is_valid(wrong)
    assert not validator().is_valid({"version": "2.0.0", "runs": []})
    assert validator().is_valid({"version": "2.1.0", "runs": []})


def test_a_rule_a_check_and_a_result_a_finding(tmp_path: Path) -> None:
    run = run_of(sample.summary(tmp_path), tmp_path)
    rules = run["tool"]["driver"]["rules"]
    assert [(r["id"], r["shortDescription"]["text"]) for r in rules] == [
        (check.name, check.doc) for check in CHECKS.values()
    ]
    assert run["tool"]["driver"]["version"] == "0.1.0"
    results = run["results"]
    assert len(results) == 6
    for result in results:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert [r["baselineState"] for r in results] == ["new"] * 5 + ["unchanged"]
    assert [r["level"] for r in results] == ["error"] * 3 + ["warning"] + ["error"] * 2
    assert results[0]["partialFingerprints"] == {FINGERPRINT: "a1b2c3d4e5f6"}
    assert results[-1]["occurrenceCount"] == 1204


def test_the_place_is_the_function_in_the_entry(tmp_path: Path) -> None:
    run = run_of(sample.summary(tmp_path), tmp_path)
    (place,) = run["results"][0]["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "corpus/mismatch/result-builtin-aarch64-a1b2c3d4e5f6.clif",
                             "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": sample.HEADER_LINES + 1},
    }  # fmt: skip
    assert place["logicalLocations"][0]["name"] == "%f"


def test_the_flow_ends_at_the_first_wrong_value(tmp_path: Path) -> None:
    run = run_of(sample.summary(tmp_path), tmp_path)
    (flow,) = run["results"][0]["codeFlows"]
    locations = flow["threadFlows"][0]["locations"]
    first = sample.HEADER_LINES + 1
    lines = [s["location"]["physicalLocation"]["region"]["startLine"] for s in locations]
    assert lines == [first + 1, first + 2, first + 3]
    assert locations[-1]["importance"] == "essential"
    assert "expected 0x1, got 0x0 in w3" in locations[-1]["location"]["message"]["text"]
    assert "codeFlows" not in run["results"][1], "no value to blame"


def test_a_place_without_values_is_named_as_such(tmp_path: Path) -> None:
    (explanation,) = (e for e in sample.explanations().values() if e.check == "result")
    lines = [structs.replace(line, expected="", got="", where="") for line in explanation.lines]
    row = sample.finding(tmp_path, "a1b2c3d4e5f6")
    report = gather(
        sample.quiet(tmp_path, findings=[row]),
        {row.signature: structs.replace(explanation, lines=lines)},
        tmp_path,
    )
    flow = json.loads(render(report))["runs"][0]["results"][0]["codeFlows"][0]["threadFlows"][0]
    assert (
        flow["locations"][-1]["location"]["message"]["text"]
        == "v3 = icmp slt v2, v1: first divergence"
    )


def test_paths_are_uris(tmp_path: Path) -> None:
    rows = [
        sample.finding(tmp_path, "000000000001", path="a b/100%:#?.clif", seconds=1.0),
        sample.finding(tmp_path, "000000000002", path="/elsewhere/ü x.clif", seconds=2.0),
        sample.finding(tmp_path, "000000000003", path="javascript:alert(1)", seconds=3.0),
        sample.finding(tmp_path, "000000000004", path="bytes-\udcff.clif", seconds=4.0),
    ]
    run = run_of(sample.quiet(tmp_path, findings=rows), tmp_path)
    uris = [
        r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]
    ]
    assert uris == ["a%20b/100%25%3A%23%3F.clif", "file:///elsewhere/%C3%BC%20x.clif",
                    "javascript%3Aalert%281%29", "bytes-%FF.clif"]  # fmt: skip


def test_the_invocation_is_successful_unless_the_fuzzer_failed(tmp_path: Path) -> None:
    (broken,) = run_of(sample.summary(tmp_path), tmp_path)["invocations"]
    assert broken["executionSuccessful"] is False
    assert [note["level"] for note in broken["toolExecutionNotifications"]] == ["error", "warning"]
    run = run_of(sample.quiet(tmp_path, findings=sample.findings(tmp_path)), tmp_path)
    assert run["invocations"][0]["executionSuccessful"] is True
    assert "--seed 0x5eed" in run["invocations"][0]["commandLine"]


def test_a_clean_run_has_results_and_none(tmp_path: Path) -> None:
    assert run_of(sample.quiet(tmp_path), tmp_path)["results"] == []
