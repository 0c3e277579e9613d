"""Parallel moves put in sequence.

All moves of a gap happen at once; machine instructions happen one after another. A move may go as
soon as nobody still waits to read its destination. When none may go, what is left is cycles: one
value of a cycle is saved in a temporary, and the cycle unwinds.

The scratch register serves as the temporary, and carries moves from slot to slot. A cycle that has
such a move in it needs the scratch for that, so its temporary is a spill slot made for the purpose.
"""

from __future__ import annotations

from collections.abc import Callable


def sequence_moves(
    moves: list[tuple[int, int]], scratch: int, new_slot: Callable[[], int]
) -> list[tuple[int, int]]:
    """Sequential ``(to, from)`` moves with the effect of doing all ``moves`` at once.

    The locations are of one class, destinations are distinct, and ``scratch`` is among neither.
    ``new_slot`` gives the location of a spill slot that nothing else uses at this place.
    """
    waiting = {to: source for to, source in moves if to != source}
    readers: dict[int, int] = {}
    for source in waiting.values():
        readers[source] = readers.get(source, 0) + 1
    ready = [to for to in waiting if to not in readers]
    done: list[tuple[int, int]] = []
    while waiting:
        while ready:
            to = ready.pop()
            source = waiting.pop(to)
            if to < 0 and source < 0:
                done += ((scratch, source), (to, scratch))
            else:
                done.append((to, source))
            readers[source] -= 1
            if not readers[source] and source in waiting:
                ready.append(source)
        if waiting:
            start = next(iter(waiting))
            reader, slot_to_slot = start, False
            while True:
                source = waiting[reader]
                slot_to_slot |= reader < 0 and source < 0
                if source == start:
                    break
                reader = source
            if slot_to_slot:
                temporary = new_slot()
                if start < 0:
                    done += ((scratch, start), (temporary, scratch))
                else:
                    done.append((temporary, start))
            else:
                temporary = scratch
                done.append((scratch, start))
            waiting[reader] = temporary
            readers[temporary] = 1
            readers[start] = 0
            ready.append(start)
    return done
