"""status, coverage, triage and cmin on a campaign that ran, and on what is none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fuzzer.cli import cli
from fuzzer.corpus.entry import load_entry

ROOT = Path(__file__).parents[4]


def invoke(*args: object) -> Result:
    result = CliRunner().invoke(cli, [str(arg) for arg in args])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of 40 functions over a planted bug that breaks three rules."""
    folder = tmp_path_factory.mktemp("campaign")
    done = subprocess.run(
        [sys.executable, "-m", "fuzzer", "fuzz", "--plant", "caller-frame",
         "-n", "40", "--seed", "1", "--out", "out", "--no-ui", "--opt", "registers=10"],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    return folder / "out"


def test_status_says_what_stats_say(out: Path) -> None:
    shown = invoke("status", out).output
    stats = json.loads((out / "stats.json").read_text())
    assert f"{stats['functions']}  " in shown
    assert f"{stats['rules_hit']}/{stats['rules_total']}" in shown
    assert "seed 0x1 builtin/aarch64 shard 1/1 registers=10" in " ".join(shown.split())
    assert "not running" in shown
    document = json.loads(invoke("status", out, "--json").output)
    assert document["running"] is False
    assert document["entries"] == stats["entries"]
    assert document["functions"] == 40


def test_the_newest_campaign_is_meant_by_the_folder_of_all(out: Path) -> None:
    assert invoke("status", out.parent).output == invoke("status", out).output


@pytest.mark.parametrize("command", ["status", "coverage"])
def test_no_campaign_is_one_line(command: str, tmp_path: Path) -> None:
    result = invoke(command, tmp_path)
    assert result.exit_code == 2
    assert (
        result.output == f"clifhanger: {tmp_path}: no campaign in it (campaign.sqlite is missing)\n"
    )
    (tmp_path / "campaign.sqlite").write_bytes(b"junk" * 999)
    result = invoke(command, tmp_path)
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)


def test_coverage_shows_what_was_never_tried(out: Path) -> None:
    text = invoke("coverage", out).output
    document = json.loads(invoke("coverage", out, "--json").output)
    for level in ("none", "speed"):
        cells = [cell for cell in document["cells"] if cell["level"] == level]
        tried = sum(bool(cell["count"]) for cell in cells)
        assert f"aarch64 at {level}: {tried} of {len(cells)} forms tried" in text
    never = [cell for cell in document["cells"] if not cell["count"]]
    assert text.count("NEVER") == len(never)
    missed = [rule["name"] for rule in document["rules"] if not rule["count"]]
    assert f"never: {' '.join(missed)}" in text


def test_coverage_writes_a_page_and_a_badge(out: Path, tmp_path: Path) -> None:
    result = invoke("coverage", out, "--html", "--badge", tmp_path / "badge.svg")
    assert (
        result.output
        == f"clifhanger: {tmp_path / 'badge.svg'}\nclifhanger: {out / 'report.html'}\n"
    )
    assert "forms</text>" in (tmp_path / "badge.svg").read_text()
    assert "<!doctype html>" in (out / "report.html").read_text().lower()
    assert invoke("coverage", out, "--badge", tmp_path / "none" / "badge.svg").exit_code == 2


def test_triage_tells_clean_from_failing(out: Path, tmp_path: Path) -> None:
    clean = invoke("triage", out)
    assert clean.exit_code == 0
    assert "0 bugs fail (0 entries)" in clean.output
    planted = invoke(
        "triage", out, "--planted", "--drafts", tmp_path / "drafts", "--max", "2", "--json"
    )
    document = json.loads(planted.output)
    assert planted.exit_code == 1
    entries = [specimen for cluster in document["clusters"] for specimen in cluster]
    found = json.loads((out / "stats.json").read_text())["entries"]
    assert {e["signature"] for e in entries} == {f["signature"] for f in found}
    assert {e["verdict"] for e in entries} == {"failing"}
    sizes = [cluster[0]["instructions"] for cluster in document["clusters"]]
    assert sizes == sorted(sizes)
    drafts = [Path(path) for path in document["drafts"]]
    assert len(drafts) == min(2, len(document["clusters"]))
    text = drafts[0].read_text()
    assert text.startswith(f"[{drafts[0].stem}] ")
    assert "function %f" in text
    assert "clifhanger replay" in text


def test_triage_merges_shards(out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(out / "corpus", other)
    broken = other / "crash"
    broken.mkdir(exist_ok=True)
    (broken / "crash-builtin-aarch64-0123456789ab.clif").write_text("; /// clifhanger\n; x\n")
    result = invoke("triage", out, other, "--merge", tmp_path / "all")
    assert "the metadata block is not closed" in result.stderr
    merged = {path.name for path in (tmp_path / "all").rglob("*.clif")}
    assert merged == {path.name for path in (out / "corpus").rglob("*.clif")}
    for path in (tmp_path / "all").rglob("*.clif"):
        assert load_entry(path).target == "builtin"


def test_near_duplicates_are_one_cluster(out: Path, tmp_path: Path) -> None:
    path = next(iter((ROOT / "corpus").glob("mismatch/result-*.clif")))
    text = path.read_text()
    (tmp_path / "a.clif").write_text(text)
    entry = load_entry(path)
    (tmp_path / "b.clif").write_text(text.replace(entry.signature, "0" * 12))
    document = json.loads(invoke("triage", tmp_path, "--json").output)
    assert [len(cluster) for cluster in document["clusters"]] == [2]


def test_cmin_names_what_covers_nothing_of_its_own(tmp_path: Path) -> None:
    seeds = sorted((ROOT / "corpus" / "seeds").glob("*.clif"))[:6]
    for number, path in enumerate([*seeds, seeds[0]]):
        (tmp_path / f"{number}.clif").write_text(path.read_text())
    bug = next(iter((ROOT / "corpus").glob("mismatch/*.clif")))
    for name in ("x.clif", "y.clif"):
        (tmp_path / name).write_text(bug.read_text())
    result = invoke("cmin", tmp_path)
    assert result.exit_code == 0
    named = [Path(line) for line in result.output.splitlines()[:-1]]
    assert {tmp_path / "0.clif", tmp_path / "6.clif"} & set(named)
    assert not {tmp_path / "x.clif", tmp_path / "y.clif"} & set(named)
    assert all(path.exists() for path in named)
    assert "deleted" in invoke("cmin", tmp_path, "--apply").output
    assert not any(path.exists() for path in named)
    again = invoke("cmin", tmp_path).output
    assert "; 0 seeds cover nothing of their own" in again


def test_cmin_refuses_what_is_no_corpus(tmp_path: Path) -> None:
    assert invoke("cmin", tmp_path).exit_code == 2
    (tmp_path / "x.clif").write_bytes(b"\xff")
    assert invoke("cmin", tmp_path).exit_code == 2
