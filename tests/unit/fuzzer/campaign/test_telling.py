"""What a campaign tells as new: each finding of its own once, whoever of its workers says first what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fuzzer.campaign.campaign import Campaign
from fuzzer.campaign.messages import Found, Message
from fuzzer.campaign.state import create, exists, read, resume
from fuzzer.cli.triage import _entries as entries_of
from fuzzer.targets.builtin import Builtin
from tests.unit.fuzzer.campaign.pretend import (
    Silent,
    few_forms,
    found_of,
    header_of,
    settings_of,
)

__all__ = ["few_forms"]

SIGNATURE = "0123456789ab"
OURS = "0x7/0/3/4"
ENTRY = """; /// clifhanger
; schema = 1
; check = "result"
; signature = "0123456789ab"
; target = "builtin"
; isa = "aarch64"
; seed = "{seed}"
; inputs = [[]]
; ///
function %f() -> i8 {{
block0:
    v0 = iconst.i8 1
    return v0
}}
"""


class Script:
    """A worker that says what it was told to."""

    idle = 0
    working = 0

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)

    @property
    def busy(self) -> bool:
        return bool(self.messages)

    def give(self, order: object) -> None:
        raise AssertionError

    def finish(self) -> None:
        pass

    def hear(self, seconds: float) -> Iterator[Message]:
        yield self.messages.pop(0)

    def stop(self) -> Iterator[Message]:
        yield from ()


def campaign(out: Path, *found: Found, known: tuple[str, ...] = ()) -> list[str]:
    """The verdicts and signatures of what it told; begun, or gone on with."""
    settings = settings_of(out, None)
    settings.deadline = 0.0
    state = resume(out) if exists(out) else create(out, header_of(settings), known)
    watcher = Silent()
    campaign = Campaign(settings, Builtin(), state, watcher)
    campaign.run(lambda: Script(*found))
    state.close()
    return [f"{row.verdict} {row.signature}" for row in watcher.told]


def saved(folder: Path, seed: str) -> str:
    path = folder / "x.clif"
    path.write_text(ENTRY.format(seed=seed))
    return str(path)


@pytest.mark.parametrize("order", [("known", "new"), ("new", "known"), ("known", "known")])
def test_two_workers_find_one_thing(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Whose entry is the second is told that it is known: maybe before the first one has been heard."""
    path = saved(tmp_path, OURS)
    found = [found_of(SIGNATURE, path, verdict) for verdict in order]
    assert campaign(tmp_path, *found) == [f"new {SIGNATURE}"]
    state = read(tmp_path)
    assert [(row.verdict, row.times) for row in state.findings().values()] == [("new", 2)]
    state.close()


def test_an_entry_of_one_that_was_killed_is_new_once(tmp_path: Path) -> None:
    """Saved, but not told: however early that was."""
    found = found_of(SIGNATURE, saved(tmp_path, OURS), "known")
    create(tmp_path, header_of(settings_of(tmp_path, None))).close()
    assert campaign(tmp_path, found) == [f"new {SIGNATURE}"]
    assert campaign(tmp_path, found, msgspec.structs.replace(found, verdict="new")) == []


@pytest.mark.parametrize("seed", ["0x7/1/3/4", "0x8/0/3/4", "0x77/0/3/4", ""])
def test_somebody_elses_entry_is_known(tmp_path: Path, seed: str) -> None:
    assert campaign(tmp_path, found_of(SIGNATURE, saved(tmp_path, seed), "known")) == []


def test_what_the_corpus_held_is_known_though_the_seed_is_the_same(tmp_path: Path) -> None:
    found = found_of(SIGNATURE, saved(tmp_path, OURS), "known")
    assert campaign(tmp_path, found, known=(SIGNATURE,)) == []


def test_an_entry_that_is_gone_again_is_nobodys(tmp_path: Path) -> None:
    assert campaign(tmp_path, found_of(SIGNATURE, str(tmp_path / "gone.clif"), "known")) == []


def test_what_another_executor_does_not_repeat_is_a_suspect_and_no_finding(tmp_path: Path) -> None:
    path = saved(tmp_path, OURS)
    found = msgspec.structs.replace(found_of(SIGNATURE, path), refuted=True, suspect="not there")
    again = msgspec.structs.replace(found, verdict="known")
    assert campaign(tmp_path, found, again) == [f"suspect {SIGNATURE}"]
    assert campaign(tmp_path, again) == []  # gone on with
    state = read(tmp_path)
    assert [(row.verdict, row.times) for row in state.findings().values()] == [("suspect", 3)]
    state.close()
    assert entries_of(str(tmp_path)) == []  # of which no report is drafted
    (tmp_path / "other").mkdir()
    assert campaign(tmp_path / "other", found_of(SIGNATURE, path)) == [f"new {SIGNATURE}"]
    assert entries_of(str(tmp_path / "other")) == [Path(path)]


def test_a_finding_that_looks_like_a_suspect_is_told_all_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path, OURS)
    suspect = msgspec.structs.replace(found_of(SIGNATURE, path), refuted=True, suspect="not there")
    finding = found_of(SIGNATURE, path, "known")
    told = [f"suspect {SIGNATURE}", f"new {SIGNATURE}"]
    assert campaign(tmp_path, suspect, finding, suspect) == told
    state = read(tmp_path)
    assert [row.verdict for row in state.findings().values()] == ["new"]
    state.close()
