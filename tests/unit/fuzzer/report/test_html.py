"""The page as a document: well formed, reachable by everyone, and deaf to what hostile text asks of it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from fuzzer.explain.model import Divergence, Explanation, Step
from fuzzer.report.exhibit import gather
from fuzzer.report.html import CARDS, JOURNAL, excerpt, render
from fuzzer.report.summary import Event, Summary
from fuzzer.report.text import visible
from tests.unit.fuzzer.report import sample

VOID: Final = {"meta", "link", "br", "input", "img", "hr"}


class Page(HTMLParser):
    """Elements with attributes and text; ``faults``: tags that don't close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.faults.append(f"{tag} has an attribute twice")
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID and self.get_starttag_text()[-2:] != "/>":  # type: ignore[index]  # there is one here
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"/{tag}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return "".join(self.texts)


def page_of(
    summary: Summary, folder: Path, explanations: dict[str, Explanation] | None = None
) -> tuple[str, Page]:
    text = render(gather(summary, explanations or {}, folder))
    text.encode()
    assert text.replace("\n", "").replace("\t", "").isprintable()
    page = Page(text)
    assert page.faults == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    inner = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}
    assert inner <= set(ids)
    return text, page


@pytest.fixture
def full(tmp_path: Path) -> tuple[str, Page]:
    return page_of(sample.summary(tmp_path), tmp_path, sample.explanations())


def test_it_needs_nothing_else(full: tuple[str, Page]) -> None:
    text, page = full
    for tag in ("img", "iframe", "object", "embed", "audio", "video", "form", "base"):
        assert page.all(tag) == []
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    assert not re.search(r"https?:|url\(|@import|@font-face", text)
    assert all("src" not in attributes for _, attributes in page.elements)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    assert policy.startswith("default-src 'none';")
    assert re.findall(r"script-src ([^;]*)", policy) == [f"'sha256-{digest}'"]


def test_hostile_text_is_text(full: tuple[str, Page]) -> None:
    text, page = full
    assert len(page.all("script")) == 1
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert visible(sample.HOSTILE) in page.text
    assert "{{ 7*7 }}" in page.text
    for link in page.all("a"):
        assert ":" not in link["href"]
    assert text.count("<title>") == 1


def test_everything_is_on_it(full: tuple[str, Page], tmp_path: Path) -> None:
    _, page = full
    for wanted in (
        "5 new findings and 1 known finding, 1 internal error, interrupted",
        "clifhanger fuzz --target builtin --isa aarch64,riscv64 --seed 0x5eed -n 31210 --shard 2/4",
        f"clifhanger replay --planted {tmp_path}/corpus/mismatch/result-builtin-aarch64-a1b2c3d4e5f6.clif",
        "clifhanger explain --planted", "x29: expected 0xf400688ea9f406c8, got 0x0", "125 → 1 instruction",
        "v3 (icmp slt) is 0x0 in w3", "lowering rule icmp_rr", "cset.w lo", "cset w3, lo", "x30=0x20000",
        "without rule icmp_rr", "Unicorn 2.1.4 mistakes `sdiv` by zero", "No such file", "212 of 230",
        "worker 1 died of SIGSEGV", "f32 is not supported", "rule_5", "row_40.x", "first divergence",
    ):  # fmt: skip
        assert wanted in page.text, wanted
    assert sample.CLAMP in page.text, "the function of a finding without an explanation"
    assert [a["id"] for a in page.all("section")] == [
        "findings", "errors", "coverage", "throughput", "rules", "rows", "unsupported", "journal",
    ]  # fmt: skip
    assert len(page.all("article")) == 6


def test_tables_have_headers_and_headings_descend(full: tuple[str, Page]) -> None:
    _, page = full
    assert all(header.get("scope") in ("col", "row") for header in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    regions = [a for _, a in page.elements if a.get("role") == "region"]
    assert regions
    assert all(a.get("aria-label") and a.get("tabindex") == "0" for a in regions)
    assert page.all("html") == [{"lang": "en"}]


def test_never_tried_is_marked_without_colour(full: tuple[str, Page]) -> None:
    _, page = full
    cells = [a for a in page.all("td") if a.get("class") == "untried"]
    assert len(cells) == 455 - 433 + 377 - 355
    assert all(a["title"].endswith("never tried") for a in cells)
    assert any(a.get("title") == "jump on riscv64: 25,000 functions" for a in page.all("td"))


def test_an_empty_campaign(tmp_path: Path) -> None:
    _, page = page_of(sample.quiet(tmp_path), tmp_path)
    for wanted in (
        "No findings",
        "Nothing broke in 31,210 functions",
        "Too short",
        "reports none",
        "No counts",
    ):
        assert wanted in page.text
    _, page = page_of(sample.quiet(tmp_path, functions=0, seconds=0.0, runs=0), tmp_path)
    assert "Nothing was tested: the target took none of the functions." in page.text


def test_what_grows_is_cut(tmp_path: Path) -> None:
    rows = [
        sample.finding(tmp_path, f"{n:012x}", seconds=float(n), path="x.clif")
        for n in range(CARDS + 30)
    ]
    events = [Event(float(n), "death", f"worker {n}") for n in range(JOURNAL + 7)]
    _, page = page_of(sample.quiet(tmp_path, findings=rows, events=events), tmp_path)
    assert len(page.all("article")) == CARDS
    assert "30 more findings" in page.text
    assert f"{CARDS + 29:012x}" in page.text
    assert "7 earlier lines left out" in page.text
    assert f"worker {JOURNAL + 6}" in page.text


@pytest.mark.parametrize(
    ("length", "at", "first", "last"),
    [
        (0, -1, 0, 0),
        (61, 3, 1, 61),
        (400, -1, 380, 400),
        (400, 5, 1, 46),
        (400, 399, 380, 400),
        (400, 200, 181, 241),
    ],
)
def test_a_trace_is_cut_around_the_divergence(length: int, at: int, first: int, last: int) -> None:
    trace = [Step(4 * n, "nop", "") for n in range(length)]
    explanation = Explanation("", "failing", "result", "builtin", "aarch64", "", [], "", "", [], trace,
                              Divergence("x", step=at), [], "", "")  # fmt: skip
    shown = excerpt(explanation)
    assert shown.earlier + len(shown.steps) + shown.later == length
    if length:
        assert (shown.steps[0].number, shown.steps[-1].number) == (first, last)
    assert [s.number for s in shown.steps if s.diverges] == ([at + 1] if at >= 0 else [])


def test_an_explanation_without_lines_leaves_the_function(tmp_path: Path) -> None:
    row = sample.finding(tmp_path, "a1b2c3d4e5f6")
    bare = Explanation("", "failing", "crash", "builtin", "aarch64", "", [], "", "", [], [],
                       Divergence("there is no code"), [], "", "")  # fmt: skip
    _, page = page_of(sample.quiet(tmp_path, findings=[row]), tmp_path, {row.signature: bare})
    assert "there is no code" in page.text
    assert sample.CLAMP in page.text


def test_the_entry_is_linked_from_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "runs" / "one"
    out.mkdir(parents=True)
    rows = [
        sample.finding(tmp_path, "00000000000a"),
        sample.finding(tmp_path, "00000000000b", path="gone.clif"),
    ]
    text = render(gather(sample.quiet(tmp_path, findings=rows), {}, out))
    links = [a["href"] for a in Page(text).all("a") if a["href"].endswith(".clif")]
    assert links == ["../../corpus/mismatch/result-builtin-aarch64-00000000000a.clif"]
    assert (out / links[0]).resolve().is_file()
