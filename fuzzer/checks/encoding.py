"""What was emitted is what was meant: Capstone's reading against the instruction table's own text.

This sees what no run shows: ``stp x29, x30, [sp, #-0x10]`` where ``[sp, #-0x10]!`` was meant returns the
right value. A target that does not say what it meant is only asked that every word decodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from fuzzer.checks.check import Check
from fuzzer.execute.decode import DECODED_WHOLE, decode, instructions
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial

_MEMORY: Final = 1 << 17
_AWAY: Final = 1 << 46
"""Where to read many instructions at once: so far off that none that says an address says a small one."""
_agreed: set[tuple[bytes, str]] = set()
"""(word, text) that agreed: a fact about Capstone, whichever compiler the word came from."""


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
    starts = {start for start, _ in compiled.data_ranges}
    # The buffer's own account says how long an instruction is, where that varies: data or padding may follow.
    sizes = {at: size for at, size, _ in compiled.audit.spans} if compiled.audit else {}
    unseen = []
    for offset, meant in texts:
        word = code[offset : offset + sizes.get(offset, 4)]
        if (word, meant) not in _agreed and offset not in starts:
            unseen.append((offset, meant, word))
    if not unseen:
        return
    if len(_agreed) + len(unseen) > _MEMORY:
        _agreed.clear()
    there = dict(decode(isa, b"".join([word for _, _, word in unseen]), _AWAY))
    end = 0
    for offset, meant, word in unseen:
        at, end = end, end + len(word)
        # Capstone takes 1 us an instruction in a row and 6 us for one alone. A text that says where the instruction
        # stands is not the one meant, at any distance that an instruction can say: that one is read at address 0.
        if there.get(at) != meant:
            got = "; ".join(text for _, text in decode(isa, word))
            if got != meant:
                yield Violation("encoding", f"at {offset:#x}: meant {meant!r}, emitted {word.hex()} = {got!r}",
                                f"{_mnemonic(meant)} as {_mnemonic(got)}")  # fmt: skip
                continue
        _agreed.add((word, meant))


def _undecodable(trial: Trial) -> Iterator[Violation]:
    compiled = trial.code
    if (
        compiled is None
        or not trial.thorough
        or compiled.mixed
        or trial.case.isa not in DECODED_WHOLE
    ):
        return
    for offset, _, text in instructions(trial.case.isa, compiled.code, compiled.data_ranges):
        if text == "(bad)":
            word = compiled.code[offset : offset + 4]
            yield Violation("encoding", f"at {offset:#x}: {word.hex()} decodes to nothing", "bad")


CHECK = Check("encoding", "each instruction decodes to what its table row says", _look)
