"""The page in a real browser: it fits, asks for nothing, complains of nothing, and can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from fuzzer.report.kinds import write_reports
from tests.unit.fuzzer.report import sample
from tests.unit.fuzzer.report.browser import CHROMIUM, Page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

CONTRAST: Final = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const over = (layers) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const layer of layers) { canvas.fillStyle = layer; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const worst = new Map();
  for (const element of document.body.querySelectorAll("*")) {
    if (![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || element.closest(".spoken, script, .skip")) continue;
    const layers = ["white"];
    for (let e = element; e; e = e.parentElement) layers.splice(1, 0, getComputedStyle(e).backgroundColor);
    const ground = light(over(layers)), ink = light(over([...layers, getComputedStyle(element).color]));
    const ratio = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
    const key = element.tagName + "." + element.className;
    worst.set(key, Math.min(worst.get(key) ?? 99, ratio));
  }
  return [...worst].filter(([, ratio]) => ratio < 4.5).map(([key, ratio]) => `${key} ${ratio.toFixed(2)}`);
})()"""
"""Kinds of elements whose text stands out from its ground less than WCAG's 4.5 to 1 (level AA)."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    full = write_reports(["html"], sample.summary(folder), sample.explanations(), folder / "full")
    quiet = write_reports(["html"], sample.quiet(folder), {}, folder / "quiet")
    return {"full": full[0], "quiet": quiet[0]}


@pytest.mark.parametrize("which", ["full", "quiet"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_and_can_be_read(
    page: Page, reports: dict[str, Path], width: int, scheme: str, which: str
) -> None:
    path = reports[which]
    page.open(path, width=width, scheme=scheme)
    assert page.ask("innerWidth") == width
    assert page.ask("document.documentElement.scrollWidth") <= width
    assert page.ask("document.body.scrollWidth") <= width
    headings = page.ask("[...document.querySelectorAll('h2')].map((h) => h.textContent)")
    assert [h for h in headings if h != "Internal errors"] == [
        "Findings", "Coverage", "Throughput", "Rules", "Instructions", "Unsupported", "Journal",
    ]  # fmt: skip
    dark = page.ask("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(253, 253, 251)" if scheme == "light" else "rgb(21, 23, 26)")
    assert page.ask(CONTRAST) == []
    assert page.requests == [path.as_uri()]
    assert page.complaints == []


def test_the_filters_hide_what_does_not_match(page: Page, reports: dict[str, Path]) -> None:
    page.open(reports["full"], width=1440)
    shown = "[...document.querySelectorAll('{}')].filter((e) => e.checkVisibility()).length"
    typed = """(() => {{ const input = document.querySelector('input[name={}]'); input.value = {!r};
        input.dispatchEvent(new Event("input")); }})()"""
    assert page.ask(shown.format(".finding")) == 6
    page.ask(typed.format("findings", "aarch64 frame"))
    assert page.ask(shown.format(".finding")) == 1
    assert page.ask("document.querySelector('output').value") == "1 of 6"
    page.ask(typed.format("findings", ""))
    assert page.ask(shown.format(".finding")) == 6
    rows = page.ask(shown.format(".matrix tbody tr"))
    page.ask("document.querySelector('#only-untried').click()")
    assert 0 < page.ask(shown.format(".matrix tbody tr")) < rows
    assert page.ask(shown.format(".matrix tbody td.untried")) == 44
    page.ask("document.querySelector('#only-untried').click()")
    page.ask(typed.format("opcode", "iadd"))
    assert 0 < page.ask(shown.format(".matrix tbody tr")) < rows
    assert page.complaints == []


def test_focus_is_visible_and_marks_lead_to_their_findings(
    page: Page, reports: dict[str, Path]
) -> None:
    page.open(reports["full"], width=390)
    for kind in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
        )
    assert page.ask("document.activeElement.className") == "skip"
    assert page.ask("document.activeElement.getBoundingClientRect().left") >= 0
    assert page.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.ask("document.querySelector('.strip a').click()")
    assert page.ask("document.querySelector(':target').matches('.finding')")


def test_a_page_that_breaks_the_rules_is_noticed(page: Page, tmp_path: Path) -> None:
    wide = tmp_path / "wide.html"
    wide.write_text("<!doctype html><body style='color:#999'><div style='width:900px'>x</div>"
                    "<img src='http://127.0.0.1:9/x.png'><script>console.log('hello')</script>")  # fmt: skip
    page.open(wide, width=390)
    assert page.ask("document.documentElement.scrollWidth") > 390
    assert page.ask(CONTRAST)
    assert page.requests == [wide.as_uri(), "http://127.0.0.1:9/x.png"]
    assert page.complaints
