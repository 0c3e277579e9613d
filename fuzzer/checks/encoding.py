"""What was emitted is what was meant: Capstone's reading against the instruction table's own text.

This sees what no run shows: ``stp x29, x30, [sp, #-0x10]`` where ``[sp, #-0x10]!`` was meant returns the
right value. A target that does not say what it meant is only asked that every word decodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from fuzzer.checks.check import Check
from fuzzer.execute.decode import decode
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial

_MEMORY: Final = 1 << 17
_BATCH: Final = 32
"""Bytes of code for each unseen instruction below which all of it is decoded at once."""
_AWAY: Final = 0x4000
"""Another address to read an instruction at, to see whether its text depends on it."""
_agreed: set[tuple[bytes, str]] = set()
"""(word, text) that agreed at more than one address: position-independent, no need to decode again."""


def _mnemonic(text: str) -> str:
    return text.partition(" ")[0]


def _look(trial: Trial) -> Iterator[Violation]:
    compiled = trial.code
    if compiled is None:
        return
    if compiled.texts is None:
        yield from _undecodable(trial)
        return
    code, isa = compiled.code, trial.case.isa
    try:
        texts = compiled.texts()
    except Exception as error:  # a compiler that is wrong may be wrong about this, too
        yield Violation("encoding", f"it can't be said what was meant: {error!r}", "no text")
        return
    if not texts:
        return
    ends = [offset for offset, _ in texts[1:]]
    ends.append(min([start for start, _ in compiled.data_ranges if start > texts[-1][0]],
                    default=len(code)))  # fmt: skip
    data = {start for start, _ in compiled.data_ranges}
    unseen = []
    for (offset, meant), end in zip(texts, ends, strict=True):
        word = (
            code[offset:end] if end - offset <= 4 or isa == "x86_64" else code[offset : offset + 4]
        )
        if (word, meant) not in _agreed and offset not in data:
            unseen.append((offset, meant, word))
    if not unseen:
        return
    # All at once costs 1 us an instruction, one by one 6: worth it unless most are known.
    batch = len(code) < _BATCH * len(unseen)
    here = dict(decode(isa, code)) if batch else {}
    there = dict(decode(isa, code, _AWAY)) if batch else {}
    for offset, meant, word in unseen:
        got = here.get(offset) or _text(isa, word, offset)
        if got != meant:
            yield Violation("encoding", f"at {offset:#x}: meant {meant!r}, emitted {word.hex()} = {got!r}",
                            f"{_mnemonic(meant)} as {_mnemonic(got)}")  # fmt: skip
        elif (there.get(offset) or _text(isa, word, offset + _AWAY)) == meant:
            if len(_agreed) >= _MEMORY:
                _agreed.clear()
            _agreed.add((word, meant))


def _text(isa: str, word: bytes, at: int) -> str:
    texts = decode(isa, word, at)
    return texts[0][1] if len(texts) == 1 else "; ".join(text for _, text in texts)


def _undecodable(trial: Trial) -> Iterator[Violation]:
    compiled = trial.code
    if compiled is None or not trial.thorough:
        return
    data = {at for start, end in compiled.data_ranges for at in range(start, end)}
    for offset, text in decode(trial.case.isa, compiled.code):
        if text == "(bad)" and offset not in data:
            word = compiled.code[offset : offset + 4]
            yield Violation("encoding", f"at {offset:#x}: {word.hex()} decodes to nothing", "bad")


CHECK = Check("encoding", "each instruction decodes to what its table row says", _look)
