"""The code buffer is judged as strictly as the result.

The founding bug's twin recorded a branch fixup after the word was emitted: it patched the next
instruction, and at the very end it patched past the buffer. In a release build whose code filled its
capacity exactly nothing showed. So, whatever the code computes: red zones are intact, every byte has
one owner, a fixup lies inside the instruction it belongs to, the code was handed out once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from backend.errors import BufferError
from fuzzer.checks.check import Check
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial


def _broken(detail: str, key: str) -> Violation:
    return Violation("buffer", detail, key)


def _look(trial: Trial) -> Iterator[Violation]:
    if isinstance(trial.error, BufferError):
        kind = "".join(c for c in str(trial.error) if not c.isdigit())
        yield _broken(f"refused by the buffer itself: {trial.error}", kind)
        return
    code = trial.code
    if code is None or code.audit is None:
        return
    audit, length = code.audit, len(code.code)
    for damage in audit.red_zone_damage:
        yield _broken(damage, "red zone")
    if audit.taken != 1:
        yield _broken(f"the code was taken {audit.taken} times", "taken")
    if audit.length != length:
        yield _broken(f"length {audit.length} claimed, {length} bytes handed out", "length")
    if audit.capacity < length:
        yield _broken(f"{length} bytes in a capacity of {audit.capacity}", "capacity")
    end = 0
    owners: dict[int, int] = {}
    for offset, size, what in audit.spans:
        if offset != end:
            yield _broken(f"{what} at {offset}, but the item before ends at {end}", "spans")
        end = offset + size
        owners[offset] = end
    if end != length:
        yield _broken(f"the items end at {end}, the code at {length}", "spans end")
    for patched, owner, _, kind in audit.fixups:
        if not owner <= patched < owners.get(owner, -1):
            yield _broken(f"the {kind} of the instruction at {owner} patched {patched}", "fixup")
    for offset, trap in code.traps:
        if not 0 <= offset < length:
            yield _broken(f"a trap record of {trap} at {offset} of {length}", "trap record")
    for reloc in code.relocs:
        if not 0 <= reloc.offset < length:
            yield _broken(f"a relocation at {reloc.offset} of {length}", "relocation")


CHECK = Check("buffer", "red zones, ownership, fixups and sizes of the code buffer", _look)
