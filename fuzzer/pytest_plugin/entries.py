"""Corpus entries as tests: one an entry, or one an entry and ISA that was asked for.

What a verdict means for the test:

=========  ============================================  ==================================================
status     passes                                        otherwise
=========  ============================================  ==================================================
fixed      nothing is broken                             fails
seed       nothing is broken                             fails
open       (never)                                       still failing: xfail; fixed: fails, to be promoted;
                                                         changed: fails
wontfix    nothing is broken (reported as XPASS)         xfail
=========  ============================================  ==================================================

A status is what its own target did. Another target is held to the rules whatever the status says, and
for another ISA an open entry is like a wontfix one. Unsupported is a skip, an invalid entry a failure.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fuzzer.corpus.entry import has_header
from fuzzer.host.client import HOST, HostError
from fuzzer.pytest_plugin import OPTIONS

_HEAD: Final = 64
"""Bytes that are looked at to tell an entry from other people's files."""
_WORDS: Final = {"failing": "still failing", "regressed": "failing again", "changed": "changed"}


def is_entry(path: Path) -> bool:
    """Is it a regular file that begins like an entry? Never blocks, never raises."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        return has_header(os.read(handle, _HEAD).decode("utf-8", "replace"))
    except OSError:
        return False
    finally:
        os.close(handle)


def shard_of(path: str, shards: int) -> int:
    """Which of ``shards`` shares a file belongs to, from 0: a hash of ``path``, so that other files coming
    and going move nothing. ``path``: relative to the rootdir, with forward slashes.
    """
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % shards


def keep_shard(items: list[pytest.Item], config: pytest.Config, shard: int, shards: int) -> None:
    """Deselect the entries that belong to another shard; tests that are no entries stay."""
    others = []
    for item in items:
        if isinstance(item, EntryItem):
            path = Path(os.path.relpath(item.path, config.rootpath)).as_posix()
            if shard_of(path, shards) != shard:
                others.append(item)
    if others:
        gone = set(others)
        items[:] = [item for item in items if item not in gone]
        config.hook.pytest_deselected(items=others)


class EntryFile(pytest.File):
    """A corpus entry's file."""

    def collect(self) -> Iterator[pytest.Item]:
        options = self.config.stash.get(OPTIONS, None)
        isas = options.isas if options is not None else ()
        if not self.config.option.collectonly:
            HOST.begin()
        for isa in isas or ("",):
            name = f"replay[{isa}]" if isa else "replay"
            yield EntryItem.from_parent(self, name=name, isa=isa)


class EntryItem(pytest.Item):
    """One replay of an entry. ``isa``: for which ISA, "" for the entry's own."""

    def __init__(self, *, isa: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.isa = isa

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.name} {self.path.name}"

    def runtest(self) -> None:
        options = self.config.stash.get(OPTIONS, None)
        folder = self.config.invocation_params.dir
        shown = os.path.relpath(self.path, folder)
        try:
            answer = HOST.ask({
                "ask": "replay", "folder": str(folder), "path": shown, "isa": self.isa,
                "target": options.target if options is not None else "",
            })  # fmt: skip
        except HostError as error:
            pytest.fail(f"{shown}: {error}", pytrace=False)
        if answer["state"] == "unavailable" or answer.get("verdict") == "unsupported":
            pytest.skip(answer["detail"])
        if answer["state"] == "invalid":
            pytest.fail(answer["detail"], pytrace=False)
        self._judge(shown, answer)

    def _judge(self, shown: str, answer: dict[str, Any]) -> None:
        for name in ("check", "signature", "target", "isa"):
            self.user_properties.append((f"clif_{name}", answer[name]))
        holds, status = answer["holds"], answer["status"]
        if not answer["own_target"]:
            status = "fixed"
        elif not answer["own_isa"] and status == "open":
            status = "wontfix"
        strict = status == "open"
        if status == "wontfix" or (strict and answer["verdict"] != "changed"):
            why = f"{status}: {answer['detail']}" if answer["detail"] else status
            if strict and holds:
                why = _promotion(self.path, shown)
            # Pytest's own xfail, so that --runxfail and xfail_strict's reports work as ever.
            self.add_marker(
                pytest.mark.xfail(reason=why, strict=strict, raises=pytest.fail.Exception)
            )
        if not holds:
            pytest.fail(_report(shown, answer), pytrace=False)


def _promotion(path: Path, shown: str) -> str:
    """How to say in the entry that it is fixed; an entry without a status is open."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next((n for n, line in enumerate(lines, 1) if line.startswith("; status")), 0)
    edit = f"{at}s/open/fixed/" if at else '1a ; status = "fixed"'
    place = f"in line {at}" if at else "in its block"
    return (f'fixed: promote it with status = "fixed" {place}: '
            f"sed -i {shlex.quote(edit)} {shlex.quote(shown)}")  # fmt: skip


def _report(shown: str, answer: dict[str, Any]) -> str:
    """What a compiler writer wants to see, the verdict in the first line."""
    verdict = answer["verdict"]
    options = f", {answer['options']}" if answer["options"] and answer["own_target"] else ""
    lines = [
        f"{_WORDS.get(verdict, verdict)}: {answer['detail']}",
        f"  entry:   {shown} ({answer['status']}; {answer['target']}/{answer['isa']}{options})",
    ]
    if answer["check"]:
        lines.append(f"  check:   {answer['check']}: {answer['rule']}")
    if answer["observed"]:
        lines.append(f"  found:   {answer['observed']}")
    again = ["clifhanger", "replay"]
    again += [] if answer["own_target"] else ["--target", answer["target"]]
    again += [] if answer["own_isa"] else ["--all-isas"]
    lines += ["", *(f"  {line}" for line in answer["ir"].splitlines()), ""]
    return "\n".join([*lines, f"  replay:  {shlex.join([*again, shown])}"])
