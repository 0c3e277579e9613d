"""Entries that somebody else wrote: on another machine, or into a folder that others share.

An entry says itself where it belongs (kind, check, target, ISA, signature make its path), so before it is stored all of
that has to be of the form that ours have: nothing that could lead out of the corpus or pass for something else.
"""

from __future__ import annotations

import re
from typing import Final

from fuzzer.checks import CHECKS
from fuzzer.corpus.entry import Entry, EntryError, parse_entry

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,63}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{12}")


def foreign_entry(text: str, path: str) -> Entry:
    """The entry a text holds, if it is a finding that could be ours; EntryError, with ``path``, says what it is not."""
    entry = parse_entry(text, path)
    check = CHECKS.get(entry.check)
    if check is None:
        raise EntryError(path, f"no check {entry.check[:40]!r}", 2, 1)
    if entry.kind != check.kind:
        raise EntryError(
            path, f"kind {entry.kind[:40]!r}, but {check.name} is {check.kind!r}", 2, 1
        )
    for what, word in (("target", entry.target), ("isa", entry.case.isa)):
        if not _NAME.fullmatch(word):
            raise EntryError(path, f"{word[:40]!r} is no name of {what}", 2, 1)
    if not _SIGNATURE.fullmatch(entry.signature):
        raise EntryError(path, f"signature {entry.signature[:40]!r} is not 12 hex digits", 2, 1)
    return entry
