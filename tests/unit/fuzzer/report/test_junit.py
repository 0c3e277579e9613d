"""JUnit XML against the rules of the schemas in use, written down here as a table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, fromstring

import pytest

from fuzzer.checks import CHECKS
from fuzzer.report.exhibit import gather
from fuzzer.report.junit import render
from fuzzer.report.summary import Summary
from tests.unit.fuzzer.report import sample

NUMBER: Final = r"\d+"
SECONDS: Final = r"\d+\.\d{3}"
WORDS: Final = r".+"

# element -> (attributes with their patterns, all required; children in order)
RULES: Final[dict[str, tuple[dict[str, str], tuple[str, ...]]]] = {
    "testsuites": ({"name": WORDS, "tests": NUMBER, "failures": NUMBER, "errors": NUMBER, "time": SECONDS},
                   ("testsuite",)),
    "testsuite": ({"name": WORDS, "tests": NUMBER, "failures": NUMBER, "errors": NUMBER, "skipped": NUMBER,
                   "time": SECONDS, "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"},
                  ("properties", "testcase", "system-out", "system-err")),
    "properties": ({}, ("property",)),
    "property": ({"name": WORDS, "value": r".*"}, ()),
    "testcase": ({"classname": WORDS, "name": WORDS, "time": SECONDS}, ("skipped", "error", "failure")),
    "failure": ({"type": WORDS, "message": WORDS}, ()),
    "error": ({"type": WORDS, "message": WORDS}, ()),
    "skipped": ({"message": WORDS}, ()),
    "system-out": ({}, ()),
    "system-err": ({}, ()),
}  # fmt: skip


def breaches(element: Element) -> list[str]:
    """What the table does not allow, from this element down."""
    attributes, children = RULES[element.tag]
    found = []
    if set(element.attrib) != set(attributes):
        found.append(f"{element.tag} has {sorted(element.attrib)}")
    found += [f"{element.tag}/@{name} is {element.get(name)!r}" for name, pattern in attributes.items()
              if not re.fullmatch(pattern, element.get(name, ""))]  # fmt: skip
    places = [children.index(child.tag) if child.tag in children else -1 for child in element]
    if -1 in places or places != sorted(places):
        found.append(f"{element.tag} holds {[child.tag for child in element]}")
    if element.tag == "testcase" and len(element) > 1:
        found.append("a testcase with two ends")
    return found + [breach for child in element for breach in breaches(child)]


def suite_of(summary: Summary, folder: Path) -> Element:
    text = render(gather(summary, sample.explanations(), folder))
    text.encode()
    root = fromstring(text)
    assert breaches(root) == []
    suite = root.find("testsuite")
    assert suite is not None
    for name, path in (("tests", "testcase"), ("failures", "testcase/failure"),
                       ("errors", "testcase/error")):  # fmt: skip
        assert int(suite.get(name, "")) == int(root.get(name, "")) == len(suite.findall(path))
    assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))
    return suite


def test_the_rules_can_be_broken() -> None:
    assert breaches(fromstring("<testsuites><testsuite/></testsuites>"))
    assert breaches(fromstring("<properties><property name='a' value=''/><testcase/></properties>"))
    assert not breaches(fromstring("<properties><property name='a' value=''/></properties>"))


def test_checks_and_findings_are_cases(tmp_path: Path) -> None:
    suite = suite_of(sample.summary(tmp_path), tmp_path)
    cases = {
        (c.get("classname"), c.get("name", "").split()[0]): c for c in suite.findall("testcase")
    }
    for isa in ("aarch64", "riscv64"):
        names = [name for cls, name in cases if cls == f"clifhanger.builtin.{isa}.checks"]
        assert names == list(CHECKS)
    broken = {key for key, case in cases.items() if case.find("failure") is not None}
    assert {name for cls, name in broken if cls == "clifhanger.builtin.aarch64.checks"} == {
        "result", "frame", "crash",
    }  # fmt: skip
    known = cases["clifhanger.builtin.aarch64.findings", "poison"]
    skipped = known.find("skipped")
    assert skipped is not None
    assert (skipped.get("message") or "").startswith("known: ")
    assert known.find("failure") is None
    assert ("clifhanger.builtin.riscv64.checks", "memory") in broken
    assert cases["clifhanger.builtin.aarch64.checks", "memory"].find("failure") is None
    found = [
        c for c in suite.findall("testcase") if (c.get("classname") or "").endswith(".findings")
    ]
    assert len(found) == 6


def test_a_finding_tells_all_that_is_needed(tmp_path: Path) -> None:
    suite = suite_of(sample.summary(tmp_path), tmp_path)
    case = next(c for c in suite.iter("testcase") if "a1b2c3d4e5f6" in c.get("name", ""))
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("type") == "result"
    assert failure.get("message") == "result 0: expected 0x80000004, got 0x7fffffff"
    text = failure.text or ""
    assert sample.CLAMP in text
    assert "v3 (icmp slt) is 0x0 in w3" in text
    assert f"clifhanger replay --planted {tmp_path}/corpus/mismatch/result-" in text
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert properties["seed"] == "0x5eed"
    assert properties["functions"] == "31210"
    assert properties["versions"] == "clifhanger 0.1.0, builtin 0.1.0, unicorn 2.1.4"


def test_a_suspect_is_an_error_of_the_tools_and_no_failure_of_its_check(tmp_path: Path) -> None:
    row = sample.finding(tmp_path, "505050505050", "trap", suspect="Unicorn mistakes it")
    suite = suite_of(sample.quiet(tmp_path, findings=[row]), tmp_path)
    assert suite.get("failures") == "0"
    error = suite.find("testcase/error")
    assert error is not None
    assert "Unicorn mistakes it" in (error.text or "")


def test_what_xml_forbids_is_spelt_out(tmp_path: Path) -> None:
    suite = suite_of(sample.summary(tmp_path), tmp_path)
    case = next(c for c in suite.iter("testcase") if "deadbeef0001" in c.get("name", ""))
    failure = case.find("failure")
    assert failure is not None
    assert "</script><img src=x onerror=alert(1)>\\x1b[31m\\x00]]>&'\"\\u202e" in (
        failure.text or ""
    )
    assert "\\ud800" in failure.get("message", "")


@pytest.mark.parametrize("functions", [0, 7])
def test_checks_are_skipped_where_nothing_was_tested(tmp_path: Path, functions: int) -> None:
    refused = {"f32": functions} if functions else {}
    suite = suite_of(sample.quiet(tmp_path, functions=functions, unsupported=refused), tmp_path)
    assert suite.get("skipped") == str(len(CHECKS))
    assert suite.get("failures") == suite.get("errors") == "0"


def test_a_clean_campaign_passes(tmp_path: Path) -> None:
    suite = suite_of(sample.quiet(tmp_path), tmp_path)
    assert suite.get("tests") == str(len(CHECKS))
    assert suite.get("skipped") == suite.get("failures") == suite.get("errors") == "0"


@pytest.mark.parametrize(
    "started", ["2026-11-22T02:00:00Z", "2026-11-22T02:00:00", "2026-11-22T02:00:00.1+00:00"]
)
def test_times_lose_fraction_and_zone(tmp_path: Path, started: str) -> None:
    suite = suite_of(sample.quiet(tmp_path, started=started), tmp_path)
    assert suite.get("timestamp") == "2026-11-22T02:00:00"
