"""Why does an entry fail? Everything about one entry, from the first wrong value to the stage that is to blame.

The case is compiled and run in a process of its own, once, under observation (:func:`_examine`); each toggle in another
one. Nothing of a compiler under test runs in the caller's process, whatever the compiler does.
"""

from __future__ import annotations

import re
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Final

import msgspec

from backend.errors import AllocationError
from backend.isa import isa_named
from backend.machine.compiled import CompiledCode
from backend.machine.places import INST, Places
from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.case import Case
from fuzzer.corpus.entry import Entry, outcome_text
from fuzzer.corpus.replay import Verdict, replay
from fuzzer.execute.decode import decode
from fuzzer.execute.emulator import RETURN, ExecutorLimit, Run
from fuzzer.execute.machines import MACHINES
from fuzzer.explain.culprit import Facts, culprit
from fuzzer.explain.history import history_of
from fuzzer.explain.machine import Machine
from fuzzer.explain.model import Divergence, Explanation
from fuzzer.explain.poison import what_mattered
from fuzzer.explain.side_by_side import SideBySide
from fuzzer.explain.toggles import changes, try_change
from fuzzer.explain.tracer import Trace, Tracer
from fuzzer.explain.verdicts import Cause, wrong_end
from fuzzer.explain.walk import Seen, Walk
from fuzzer.explain.written import written
from fuzzer.finding import Violation
from fuzzer.loading import load
from fuzzer.outcome import OutOfFuel
from fuzzer.selftest.plant import planted as planting
from fuzzer.targets import family
from fuzzer.targets.target import ProcessFailure, Target
from fuzzer.trial import Trial, run_trial

STEPS: Final = 200
"""Steps of the trace that are kept by default, around the divergence."""
GAVE_UP: Final = "the explanation itself failed"
"""How the text of a divergence begins if there is a bug here."""
_SECONDS: Final = 30.0
_MEMORY: Final = 4 << 30
_UNTRIED: Final = ("unsupported", "invalid")
_RIGHT: Final = ("fixed", "clean")


class _Examined(msgspec.Struct):
    """What the observed run tells its parent: the explanation without toggles, and what they need."""

    explanation: Explanation
    facts: Facts
    rules: list[str]


def explain(
    entry: Entry, target: Target, *, isa: str | None = None, planted: bool = False, steps: int = STEPS,
    name: str = "",
) -> Explanation:  # fmt: skip
    """Why ``entry`` fails on ``target``, for ``isa`` or the entry's own; ``planted``: with its bugs planted.

    ``steps``: how much of the trace to keep; ``name``: what to call the entry. Never raises for what a compiler does.
    """
    isa = isa or entry.case.isa
    case = entry.case.copy()
    case.isa = isa
    if family(target.name) != family(entry.target):
        case.options = {}
    plants = [plant for plant in entry.plant.split(",") if plant] if planted else []
    _import_once(target, case.isa, plants)
    verdict = replay(entry, target, isa, planted=planted)
    made = _blank(entry, case, target, verdict, name)
    if verdict.verdict in _UNTRIED:
        made.divergence = Divergence(f"it can't be tried: {verdict.detail}.")
        return made

    def work(stage: object) -> bytes:
        facts = Facts(target.name, entry.check)
        try:
            with planting(plants):
                return msgspec.json.encode(_examine(entry, case, target, made, steps))
        except Exception as error:  # what can still be said is said
            where = f"{type(error).__name__}: {error}, in {_frames(error)}"
            made.divergence = Divergence(f"{GAVE_UP}: {where}.")
            return msgspec.json.encode(_Examined(made, facts, []))

    ended = run_isolated(work, seconds=_SECONDS, memory=_MEMORY)
    if isinstance(ended, Death):
        made.divergence = Divergence(f"the compiler took its process down: {ended.how}.")
        made.observed = ended.how
        facts, rules = Facts(target.name, entry.check, ended.how, ended.how), []
    else:
        examined = msgspec.json.decode(ended, type=_Examined)
        made, facts, rules = examined.explanation, examined.facts, examined.rules
    if verdict.verdict in _RIGHT:
        return made
    if made.divergence is None:
        made.divergence = Divergence(
            "nothing failed when it was tried once more: it depends on something else."
        )
    tried = [(change.kind, change.name, try_change(change, plants, facts.check, facts.key))
             for change in changes(case, target, rules)]  # fmt: skip
    made.toggles = [toggle for _, _, toggle in tried]
    made.culprit = culprit(facts, tried)
    return made


def _import_once(target: Target, isa: str, plants: list[str]) -> None:
    """What every child needs, which takes 0.4 s to import, is imported before they are born."""
    target.rules(isa)
    if plants:
        import_module("fuzzer.selftest.bugs")


def _blank(entry: Entry, case: Case, target: Target, verdict: Verdict, name: str) -> Explanation:
    return Explanation(
        entry=name or f"{entry.check}-{entry.target}-{case.isa}-{entry.signature}", verdict=verdict.verdict,
        check=entry.check, target=target.name, isa=case.isa, detail=verdict.detail, inputs=[], expected="",
        observed="", lines=[], trace=[], divergence=None, toggles=[], culprit="", poison="",
    )  # fmt: skip


# ---- in the child


def _examine(entry: Entry, case: Case, target: Target, made: Explanation, steps: int) -> _Examined:
    """Compile, run, compare. Fills ``made``."""
    trial, found = run_trial(case, target, thorough=True)
    found.sort(key=lambda v: (v.check != entry.check, v.key != entry.key))
    violation = found[0] if found else None
    facts = Facts(target.name, violation.check if violation else "", violation.key if violation else "",
                  violation.detail if violation else "")  # fmt: skip
    error = trial.error
    if isinstance(error, AllocationError):
        # Without the checker there is code to look at.
        case = case.copy()
        case.options["check_allocation"] = False
        trial, _ = run_trial(case, target)
    index = _input(trial, violation)
    made.inputs = [written(value, param.type) for value, param
                   in zip(case.inputs[index], case.function.signature.params, strict=True)]  # fmt: skip
    made.expected = outcome_text(trial.outcomes[index])
    if violation is not None:
        made.check, made.detail = violation.check, violation.detail
    if trial.code is None:
        named = "" if isinstance(error, ProcessFailure) else f"{type(error).__name__}: "
        made.observed = f"{named}{error}" if error else trial.unsupported
        made.divergence = Divergence(f"there is no code: {made.observed}.")
        facts.failed_in = "" if isinstance(error, ProcessFailure) else _frames(error)
        return _Examined(made, facts, _fired(target, trial.code) or _all_rules(case, target))
    poison = (index + trial.poison) & 1
    if violation is not None and violation.check == "poison":
        poison ^= 1
    _look(case, trial, trial.code, index, poison, made, facts, violation)
    if isinstance(error, AllocationError):
        said = made.divergence.text if made.divergence is not None else ""
        made.detail = f"{error}"
        made.divergence = msgspec.structs.replace(
            made.divergence or Divergence(""), text=f"without the allocation checker: {said}" if said else f"{error}."
        )  # fmt: skip
    fired = _fired(target, trial.code)
    made = made.around(steps)
    return _Examined(made, facts, sorted(fired, key=lambda name: name not in facts.rules))


def _look(case: Case, trial: Trial, code: CompiledCode, index: int, poison: int, made: Explanation, facts: Facts,
          violation: Violation | None) -> None:  # fmt: skip
    """Trace input ``index`` and find where it parts from the reference."""
    if case.isa not in MACHINES:
        made.divergence = Divergence(f"nothing runs code for {case.isa}.")
        return
    tracer = Tracer(case.isa)
    try:
        load(tracer, case, code)
    except ExecutorLimit as limit:
        made.divergence = Divergence(f"the executor can't run it: {limit}.")
        return
    trace = tracer.trace(case.inputs[index], case.memory, poison)
    outcome = trial.outcomes[index]
    places = _places(code)
    machine = Machine(case.isa, code.code, code.data_ranges, trace)
    cause: Cause | None = None
    seen: dict[int, Seen] = {}
    if places is not None and not isinstance(outcome, OutOfFuel):
        history = history_of(case, index, outcome)
        walk = Walk(history, places, machine)
        cause, seen = walk.run(), walk.seen
    else:
        for step in trace.steps:
            machine.apply(step)
    if cause is None:
        cause = wrong_end(machine, outcome, trial.trap_codes, case.function.signature)
    bad = _bad_words(case.isa, code, places, violation)
    if violation is not None:
        named = _named(violation)
        if violation.check == "encoding" and named in bad:
            bad = {named: bad[named]}
        if cause is None or (violation.check == "encoding" and named not in cause.offsets):
            cause = _static(violation, machine, places, bad, cause)
    if cause is not None:
        _with_words(cause, bad)
    side = SideBySide(case.function, code.code, places, machine)
    if cause is not None and cause.position < 0 and cause.kind == "stopped":
        cause.position = side.position_at(cause.divergence.offset)
    made.lines = side.lines(seen, cause)
    made.observed = _observed(trace.run)
    made.executed = trace.executed
    _conclude(made, side, trace, cause)
    if violation is not None:
        made.poison = what_mattered(case, code, index, poison)
    _note(case, facts, cause, places, code, bad)


def _input(trial: Trial, violation: Violation | None) -> int:
    """The input to look at: the one that showed it, else the first that ran wrong, else the first."""
    if violation is not None and violation.input_index >= 0:
        return violation.input_index
    if trial.anomalies:
        return trial.anomalies[0]
    usable = [i for i, outcome in enumerate(trial.outcomes) if not isinstance(outcome, OutOfFuel)]
    return usable[0] if usable else 0


def _places(code: CompiledCode) -> Places | None:
    if code.places is None:
        return None
    with suppress(Exception):  # a compiler that is wrong may fail at this, too
        return code.places()
    return None


def _frames(error: BaseException | None) -> str:
    """``encode < put < run``: where the compiler failed, innermost first."""
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(frame.name for frame in reversed(frames[-3:]))


def _fired(target: Target, code: CompiledCode | None) -> list[str]:
    names = target.rules(code.isa) if code is not None else []
    return (
        [names[number] for number in sorted(code.rule_hits)] if code is not None and names else []
    )


def _all_rules(case: Case, target: Target) -> list[str]:
    """Rules whose opcode is in the function: when the compiler fails it does not say which fired."""
    if target.name != "builtin":
        return []
    opcodes = {inst.op.name for function in case.functions for inst in function.instructions()}
    return [rule.name for rule in isa_named(case.isa).rules if opcodes & set(rule.pattern.roots)]


def _bad_words(isa: str, code: CompiledCode, places: Places | None,
               violation: Violation | None) -> dict[int, tuple[str, str, str]]:  # fmt: skip
    """By offset (meant, read, whose fault) of instructions that are not what was meant."""
    found: dict[int, tuple[str, str, str]] = {}
    texts = []
    if code.texts is not None:
        with suppress(Exception):  # a compiler that is wrong may be wrong about this, too
            texts = code.texts()
    patched = {owner: kind for _, owner, _, kind in code.audit.fixups} if code.audit else {}
    sizes = {at: size for at, size, _ in code.audit.spans} if code.audit else {}
    data = {at for start, end in code.data_ranges for at in range(start, end)}
    for offset, meant in texts:
        word = code.code[offset : offset + sizes.get(offset, 4)]
        read = "; ".join(text for _, text in decode(isa, word)) or "nothing"
        if offset in data or read == meant:
            continue
        whose = "encoder"
        if places is not None and places.encoded.get(offset, b"") != word:
            whose = "buffer"
        elif offset in patched and _head(read) == _head(meant):
            whose = f"label use {patched[offset]}"
        found[offset] = meant, read, whose
    if not found and violation is not None and violation.check == "reassembly":
        match = re.match(r"at (0x[0-9a-f]+): (.*)", violation.detail)
        if match is not None:
            found[int(match[1], 16)] = "", match[2], "encoder"
    return found


def _head(text: str) -> str:
    """An instruction without its last operand, which is what a label is."""
    return re.split(r"[ ,](?=[^ ,]*$)", text)[0]


def _named(violation: Violation) -> int:
    """The offset of the instruction that a check's words are about, or -1."""
    match = re.search(r"\bat (?:byte )?(0x[0-9a-f]+)", violation.detail)
    return int(match[1], 16) if match is not None else -1


def _static(violation: Violation, machine: Machine, places: Places | None,
            bad: dict[int, tuple[str, str, str]], other: Cause | None) -> Cause:  # fmt: skip
    """What is wrong cannot be seen in this run, or ``other`` is what can: it is what the check says."""
    offset = min(bad, default=-1)
    inst = -1
    if places is not None and (
        match := re.search(r"block \d+, instruction (\d+)", violation.detail)
    ):
        inst = int(match[1])  # of the vcode, as the allocation checker says it
        offset = next(
            (span.start for span in places.spans if span.inst == inst and span.kind == INST), -1
        )
    if offset < 0:
        offset = _named(violation)
    steps = [i for i, step in enumerate(machine.trace.steps) if step.offset == offset]
    text = f"{violation.check}: {violation.detail}."
    if other is None:
        text = f"this run does what the reference does; {text}"
    else:
        text = f"{text} What shows in the run: {other.divergence.text}"
    return Cause("static", Divergence(text, offset=offset, step=steps[0] if steps else -1),
                 inst=inst, offsets=[offset] if offset >= 0 else [])  # fmt: skip


def _with_words(cause: Cause, bad: dict[int, tuple[str, str, str]]) -> None:
    """Say so if an instruction, of the cause or at all, is not what was meant."""
    if cause.kind == "static" or not bad:
        return
    offset = next((o for o in cause.offsets if o in bad), min(bad))
    meant, read, _ = bad[offset]
    if meant:
        text = f"{cause.divergence.text} Meant at {offset:#x} was `{meant}`, emitted is `{read}`."
        cause.divergence = msgspec.structs.replace(cause.divergence, text=text)


def _observed(run: Run) -> str:
    if run.stop == RETURN:
        broken = "; ".join(
            f"{what}: expected {wanted:#x}, got {got:#x}" for what, wanted, got in run.frame
        )
        values = "".join(f" {value:#x}" for value in run.values)
        return f"returned{values}" + (f"; {broken}" if broken else "")
    return f"{run.stop} at {run.offset:#x}"


def _conclude(made: Explanation, side: SideBySide, trace: Trace, cause: Cause | None) -> None:
    """The whole trace, and the divergence."""
    made.trace = side.steps(trace.steps)
    if cause is not None:
        made.divergence = cause.divergence


def _note(case: Case, facts: Facts, cause: Cause | None, places: Places | None, code: CompiledCode,
          bad: dict[int, tuple[str, str, str]]) -> None:  # fmt: skip
    """What the culprit is derived from."""
    rows = {offset: what for offset, _, what in code.audit.spans} if code.audit is not None else {}
    facts.checked = places is not None and facts.check != "allocation"
    if bad:
        offset = (
            next((o for o in cause.offsets if o in bad), min(bad))
            if cause is not None
            else min(bad)
        )
        facts.bad_word = rows.get(offset, "?"), bad[offset][2]
    if cause is not None:
        facts.kind, facts.where = cause.kind, cause.divergence.where
        facts.misplaced = places is not None and cause.inst in places.misplaced
        facts.rows = list(dict.fromkeys(rows[o] for o in cause.offsets if o in rows))
        if places is not None and cause.position >= 0:
            facts.rules = _rules(case, places, cause)


def _rules(case: Case, places: Places, cause: Cause) -> list[str]:
    """The rules that made the code of the cause. A constant is made for its user, by rules of its own."""
    roots = {rule.name: rule.pattern.roots for rule in isa_named(case.isa).rules}
    inst = list(case.function.instructions())[cause.position]
    constant = inst.op.name == "iconst"
    position = places.insts[cause.inst].origin if constant and cause.inst >= 0 else cause.position
    return [name for name in places.rules.get(position, ()) if ("const" in roots[name]) == constant]
