"""``clifhanger fuzz``: what it prints, what it writes, and what its exit status says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fuzzer.cli.fuzz import command as fuzz
from fuzzer.cli.replay import command as replay
from fuzzer.corpus.entry import load_entry
from fuzzer.targets import target_named
from tests.unit.fuzzer.campaign.processes import run

KEYS = {"target", "isas", "seed", "shard", "seconds", "functions", "runs", "findings", "rules_hit",
        "rules_total", "rules_missed", "rows_hit", "rows_total", "unsupported", "worker_deaths",
        "interrupted", "errors"}  # fmt: skip
#: as many functions as it takes to meet the bug; it is in every function with a frame
PLANTED = ("--plant", "caller-frame", "--stop-on-first", "-n", "200", "--seed", "3")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def invoke(command: object, *args: str) -> Result:
    result = CliRunner().invoke(command, list(args))  # type: ignore[arg-type]  # a click command
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def stats(out: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "stats.json").read_text())
    return found


def test_a_clean_run() -> None:
    result = invoke(fuzz, "-n", "40", "--seed", "0x5eed", "--out", "out")
    assert result.exit_code == 0
    first, *rest = result.output.splitlines()
    assert first.startswith("clifhanger: seed 0x5eed, builtin/aarch64, out out, clifhanger ")
    assert target_named("builtin").version in first
    assert re.search(r", unicorn \d", first)
    assert re.match(r"clifhanger: \d+s, 40 functions \(\d+/s\), \d+ runs, rules \d+/\d+, findings 0 "
                    r"\(0 known\), workers 0/1$", rest[0])  # fmt: skip
    assert any(line.startswith("clifhanger: rules that never fired: ") for line in rest)
    found = stats()
    assert set(found) >= KEYS
    assert (found["seed"], found["functions"], found["findings"]) == (0x5EED, 40, 0)
    assert found["runs"] > 100
    assert (
        0
        < found["rules_hit"]
        < found["rules_total"]
        == len(target_named("builtin").rules("aarch64"))
    )
    assert len(found["rules_missed"]) == found["rules_total"] - found["rules_hit"]
    assert found["errors"] == []
    assert not list(Path("corpus").rglob("*.clif"))


def test_two_isas_are_told_apart() -> None:
    result = invoke(fuzz, "-n", "40", "--isa", "aarch64,x86_64", "--seed", "7", "--out", "out")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    found, builtin = stats(), target_named("builtin")
    assert found["rules_total"] == sum(len(builtin.rules(isa)) for isa in ("aarch64", "x86_64"))
    assert found["rows_total"] == sum(len(builtin.rows(isa)) for isa in ("aarch64", "x86_64"))
    assert f"rules {found['rules_hit']}/{found['rules_total']}, " in lines[1]
    for isa in ("aarch64", "x86_64"):
        assert any(line.startswith(f"clifhanger: {isa} rules that never fired: ") for line in lines)
        names = [name.removeprefix(f"{isa}:") for name in found["rules_missed"]
                 if name.startswith(f"{isa}:")]  # fmt: skip
        assert 0 < len(names) < len(builtin.rules(isa))
        assert set(names) < set(builtin.rules(isa))


def test_a_planted_bug_end_to_end() -> None:
    result = invoke(fuzz, *PLANTED, "--out", "out")
    assert result.exit_code == 1
    assert not list(Path("corpus").rglob("*.clif"))
    assert ", planted caller-frame, " in result.output.splitlines()[0]
    found = stats()["entries"][0]
    line = next(line for line in result.output.splitlines() if line.startswith("FOUND "))
    assert line.startswith(f"FOUND {found['check']} aarch64 {found['signature']}  ")
    assert re.search(r"\d+ -> \d+ instructions$", line)
    assert f"  replay:  clifhanger replay --planted {found['path']}" in result.output.splitlines()

    entry = load_entry(Path(found["path"]))
    assert (entry.plant, entry.status, entry.signature) == (
        "caller-frame",
        "open",
        found["signature"],
    )
    assert entry.seed.startswith("0x3/0/")
    assert entry.case.function.instruction_count() == found["instructions"]

    clean = invoke(replay, found["path"])
    assert (clean.exit_code, clean.output.split()[0]) == (0, "fixed")
    again = invoke(replay, "--planted", found["path"])
    assert (again.exit_code, again.output.split("  ")[0]) == (1, "still failing")
    assert invoke(replay, "--planted", "--bisect-exit", found["path"]).exit_code == 1
    assert invoke(replay, "--bisect-exit", found["path"]).exit_code == 0


def test_the_same_seed_finds_the_same() -> None:
    for out in ("a", "b"):
        invoke(fuzz, "--plant", "caller-frame", "-n", "2", "--seed", "3", "--out", out)
    first, second = stats("a"), stats("b")
    assert first["entries"]
    for key in ("functions", "runs", "instructions", "rules_missed", "rows_missed"):
        assert first[key] == second[key]
    shown = [[(f["signature"], f["detail"], f["instructions"]) for f in s["entries"]]
             for s in (first, second)]  # fmt: skip
    assert shown[0] == shown[1]


def test_shards_draw_different_cases() -> None:
    made = []
    for shard in ("1/2", "2/2"):
        out = shard[0]
        result = invoke(fuzz, "-n", "8", "--seed", "3", "--shard", shard, "--out", out)
        assert f", shard {shard}, " in result.output.splitlines()[0]
        assert stats(out)["shard"] == shard
        made.append(stats(out)["instructions"])
    assert made[0] != made[1]


@pytest.mark.parametrize("jobs", ["2", "auto"])
def test_workers_share_exactly_n(tmp_path: Path, jobs: str) -> None:
    done = run(tmp_path, "fuzz", "-n", "70", "-j", jobs, "--seed", "3", "--out", "out")
    assert done.status == 0
    assert stats()["functions"] == 70


def test_a_budget_of_time() -> None:
    assert invoke(fuzz, "--time", "0.5s", "--seed", "3", "--out", "out").exit_code == 0
    found = stats()
    assert found["functions"] > 0
    assert found["seconds"] < 10


def test_max_findings() -> None:
    result = invoke(fuzz, "--plant", "caller-frame", "--max-findings", "2", "-n", "200", "--seed", "3",
                    "--out", "out", "--corpus", "kept")  # fmt: skip
    assert result.exit_code == 1
    assert stats()["findings"] >= 2
    assert len(list(Path("kept").rglob("*.clif"))) == stats()["findings"]
    assert stats()["functions"] < 200


def test_a_seed_is_drawn_and_printed() -> None:
    lines = [invoke(fuzz, "-n", "1", "--out", out).output.splitlines()[0] for out in "ab"]
    seeds = [re.search(r"seed (0x[0-9a-f]+),", line) for line in lines]
    assert [int(seed[1], 16) for seed in seeds if seed] == [stats(out)["seed"] for out in "ab"]
    assert stats("a")["seed"] != stats("b")["seed"]


def test_a_folder_of_its_own_by_default() -> None:
    invoke(fuzz, "-n", "1", "--seed", "1")
    (folder,) = Path(".clifhanger").iterdir()
    assert stats(str(folder))["functions"] == 1


def test_options_are_fixed_and_shown() -> None:
    result = invoke(fuzz, "-n", "4", "--seed", "1", "--opt", "registers=4", "--out", "out")
    assert ", registers=4, " in result.output.splitlines()[0]


def test_llvm() -> None:
    pytest.importorskip("llvmlite")
    result = invoke(fuzz, "--target", "llvm", "-n", "20", "--seed", "1", "--out", "out")
    assert result.exit_code == 0
    assert result.output.startswith("clifhanger: seed 0x1, llvm/aarch64, ")
    assert stats()["runs"] > 50
