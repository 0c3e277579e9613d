"""How a run ended against how it had to end: the last place where something can have gone wrong first.

Asked when every value was right, or for a target that can't say where its values are. Needs nothing but
the trace and the reference's outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from backend.ir.entities import Signature, Value
from fuzzer.execute import layout
from fuzzer.execute.emulator import EXTENDED_RESULT, FAULT, RETURN, STRAY, TIMEOUT
from fuzzer.execute.outside import CALL
from fuzzer.explain.machine import Machine, result_parts
from fuzzer.explain.model import Divergence
from fuzzer.explain.written import written
from fuzzer.outcome import Outcome, OutOfFuel, Returned, Trapped

KINDS: Final = {
    "made": "a value is wrong where it is made of right operands",
    "computed": "a value is wrong; it can't be seen whether the operands were right",
    "pool": "a value is wrong where it is read from the code's own constants",
    "argument": "a parameter is looked for where it is not",
    "lost": "a value was right when made, and is wrong when used",
    "passed": "a block parameter is wrong when used",
    "edge": "a block parameter is wrong when used, and other arguments are passed",
    "branch": "control goes to another block",
    "store": "other bytes are written",
    "trap": "control goes to a trap, or past one",
    "missing": "control goes past a trap that no code was made for",
    "result": "another result is returned",
    "memory": "memory is another one at the end",
    "frame": "a promise to the caller is broken",
    "stopped": "the run ends elsewhere, or not at all",
    "static": "nothing is wrong with the run",
}
"""What can go wrong first."""
_WORD: Final = (1 << 64) - 1


@dataclass(slots=True)
class Cause:
    """What went wrong first, and what the culprit is derived from.

    ``kind``: one of :data:`KINDS`. ``position``: of the CLIF instruction, or -1; ``inst``: number of the machine
    instruction, or -1; ``offsets``: of its words; ``value``: the CLIF value, or -1.
    """

    kind: str
    divergence: Divergence
    position: int = -1
    inst: int = -1
    offsets: list[int] = field(default_factory=list)
    value: Value = -1


def wrong_end(
    machine: Machine, outcome: Outcome, trap_codes: dict[int, tuple[str, ...]],
    signature: Signature,
) -> Cause | None:  # fmt: skip
    """The first thing about the end of the run that is not as it had to be; None if all is.

    ``machine``: after the last step; ``signature``: of the function.
    """
    run = machine.trace.run
    if isinstance(outcome, OutOfFuel):
        return None
    recorded, executed = len(machine.trace.steps), machine.trace.executed
    if executed > recorded and run.stop != TIMEOUT:
        # Who wrote what later is not known.
        text = f"nothing differs in the first {recorded} of {executed} instructions, and no more were recorded"
        return _cause("stopped", machine, text)
    if run.stop == RETURN:
        if isinstance(outcome, Trapped):
            text = f"the code returns where the reference traps with {outcome.code}"
            return _cause("trap", machine, text, expected=f"trap {outcome.code}", got="returned")
        return (  # fmt: skip
            _wrong_result(machine, outcome, signature)
            or _wrong_memory(machine, outcome)
            or _broken(machine, signature)
        )
    return _stopped(machine, outcome, trap_codes)


def _cause(kind: str, machine: Machine, text: str, *, step: int = -1, expected: str = "", got: str = "",
           where: str = "", value: str = "") -> Cause:  # fmt: skip
    steps = machine.trace.steps
    if step < 0:
        step = len(steps) - 1
    offset = steps[step].offset if steps else -1
    return Cause(
        kind, Divergence(text + ".", value, expected, got, where, offset, step), offsets=[offset]
    )


def _wrong_result(machine: Machine, outcome: Returned, signature: Signature) -> Cause | None:
    got = machine.trace.run.values
    masks = outcome.open_values or (0,) * len(got)
    for number, (wanted, found, open_) in enumerate(zip(outcome.values, got, masks, strict=True)):
        wrong = (wanted ^ found) & ~open_
        if wrong:
            places = result_parts(machine.isa, signature)[number]
            register, shift = next(place for place in places if wrong >> place.shift & _WORD)
            right = wanted >> shift & _WORD
            holders = [name for name, value in machine.registers.items() if value == right != 0]
            type_ = signature.returns[number].type
            expected, actual = written(wanted, type_, open_), written(found, type_)
            where = ", ".join(place.register for place in places)
            text = f"result {number} is {actual} in {where} on return, expected {expected}; "
            text += machine.origin_of(register)
            if holders:
                text += f"; {holders[0]} holds the right one"
            return _cause("result", machine, text, step=machine.writers.get(register, -1),
                          expected=expected, got=actual, where=where)  # fmt: skip
    return None


def _wrong_memory(machine: Machine, outcome: Returned | Trapped) -> Cause | None:
    memory = machine.trace.run.memory
    masks = outcome.open_memory or bytes(len(memory))
    for at, (wanted, found, open_) in enumerate(zip(outcome.memory, memory, masks, strict=False)):
        if (wanted ^ found) & ~open_:
            writer = machine.bytes.get(layout.DATA + at, (-1, 0))[0]
            text = f"byte {at:#x} of the data region is {found:#04x} at the end, expected {wanted:#04x}; "
            text += (
                f"it was last written by {machine.asm_of(writer)}"
                if writer >= 0
                else "no instruction wrote it"
            )
            return _cause("memory", machine, text, step=writer, expected=f"{wanted:#x}", got=f"{found:#x}",
                          where=f"{layout.DATA + at:#x}")  # fmt: skip
    return None


def _broken(machine: Machine, signature: Signature) -> Cause | None:
    """A broken promise to the caller."""
    for what, wanted, found in machine.trace.run.frame:
        if what.startswith(EXTENDED_RESULT):
            number, _, promised = what.removeprefix(EXTENDED_RESULT).partition(", ")
            register = result_parts(machine.isa, signature)[int(number)][0].register
            text = f"{register} is {found:#x} on return, expected {wanted:#x}, since result {int(number)} is promised"
            return _cause("result", machine, f"{text} as {promised}; {machine.origin_of(register)}",
                          step=machine.writers.get(register, -1), expected=f"{wanted:#x}", got=f"{found:#x}",
                          where=register)  # fmt: skip
        if what.startswith(CALL):
            return _cause("owed", machine, f"{what}: {found:#x}, expected {wanted:#x}",
                          expected=f"{wanted:#x}", got=f"{found:#x}", where=what)  # fmt: skip
        if what.startswith("caller"):
            at = layout.STACK_TOP + int(what.partition("sp+")[2])
            writer = machine.bytes.get(at, (-1, 0))[0]
            text = f"{what} is overwritten"
            if writer >= 0:
                text += f" by {machine.asm_of(writer)}"
        else:
            register = "v" + what[1:] if what[0] == "d" else what
            writer = machine.writers.get(register, -1)
            text = f"{what} is {found:#x} on return, expected {wanted:#x}; {machine.origin_of(register)}; "
            text += _saved(machine, register, wanted)
        return _cause(
            "frame",
            machine,
            text,
            step=writer,
            expected=f"{wanted:#x}",
            got=f"{found:#x}",
            where=what,
        )
    return None


def _saved(machine: Machine, register: str, entry: int) -> str:
    for number, step in enumerate(machine.trace.steps):
        for address, _, value in step.writes:
            if value == entry:
                sp = machine.trace.before["sp"]
                return f"{register} was saved at {address - sp:+#x} from the caller's sp by {machine.asm_of(number)}"
    return (
        f"no instruction saved {register}"
        if register != "sp"
        else "it has to be what it was at the call"
    )


def _stopped(
    machine: Machine, outcome: Returned | Trapped, trap_codes: dict[int, tuple[str, ...]]
) -> Cause | None:
    run = machine.trace.run
    wanted = "returns" if isinstance(outcome, Returned) else f"traps with {outcome.code}"
    expected = "returned" if isinstance(outcome, Returned) else f"trap {outcome.code}"
    codes = trap_codes.get(run.offset, ())
    if isinstance(outcome, Trapped) and outcome.code in codes:
        return _wrong_memory(machine, outcome) if run.stop != FAULT else None
    if run.stop == TIMEOUT:
        text = f"after {machine.trace.executed} instructions the code still runs, at {machine.asm(run.offset)}"
        text += f"; the reference {wanted}"
        return _cause("stopped", machine, text, expected=expected, got="no end")
    if run.stop == STRAY:
        text = f"the code leaves for {layout.CODE + run.offset:#x} after {_last(machine)}"
        if not _is_return(machine):
            return _cause("stopped", machine, text, expected=expected, got="stray jump")
        text += " instead of returning"
        link = LINKS.get(machine.isa, "")
        if link:
            text += f"; {machine.origin_of(link)}; {_saved(machine, link, layout.RETURN)}"
        return _cause("frame", machine, text, step=machine.writers.get(link, -1), expected=expected,
                      got="stray jump", where=link)  # fmt: skip
    if run.stop == FAULT:
        what = f"{machine.asm(run.offset)} accesses {run.address:#x}, which is not the function's"
        got = "fault"
        if machine.trace.before["sp"] <= run.address < layout.STACK + 2 * layout.STACK_SIZE:
            what += f": {run.address - machine.trace.before['sp']:#x} bytes above its frame"
            return _cause(
                "frame", machine, f"{what}; the reference {wanted}", expected=expected, got=got
            )
    else:
        what = f"{machine.asm(run.offset)} traps" + (
            f" as {', '.join(codes)}" if codes else " without a trap record"
        )
        got = f"trap {codes[0]}" if codes else "an unrecorded trap"
    return _cause("stopped", machine, f"{what}; the reference {wanted}", expected=expected, got=got)


LINKS: Final = {"aarch64": "x30", "riscv64": "ra", "s390x": "r14", "arm": "lr", "mips64": "ra"}
"""The register that a return jumps to, by ISA, where it is one."""


def _is_return(machine: Machine) -> bool:
    steps = machine.trace.steps
    return bool(steps) and machine.texts.get(steps[-1].offset, "").partition(" ")[0] == "ret"


def _last(machine: Machine) -> str:
    return machine.asm_of(len(machine.trace.steps) - 1) if machine.trace.steps else "the call"
