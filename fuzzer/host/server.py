"""The host: answers questions about cases, one at a time.

A question is one row of :data:`_ANSWERS`. Text that comes from files or compilers leaves here printable.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from backend.errors import BackendError, ClifError
from backend.ir.filetest import parse_file
from backend.ir.parser import parse_function
from backend.ir.printer import print_functions
from backend.ir.verifier import verify
from backend.machine.compiled import CompiledCode
from backend.options import OptionError
from fuzzer.campaign.isolated import Death, die_with_parent, run_isolated
from fuzzer.case import Case
from fuzzer.checks import CHECKS
from fuzzer.cli.common import misfit
from fuzzer.corpus.entry import Entry, EntryError, parse_entry, read_text
from fuzzer.corpus.replay import Verdict, prepare, replay
from fuzzer.execute.machines import MACHINES
from fuzzer.finding import Violation
from fuzzer.host.client import Answer, pack
from fuzzer.outcome import Outcome, Returned, Trapped
from fuzzer.reference.memory import UndefinedBehaviour
from fuzzer.report.text import one_line, visible
from fuzzer.targets import TARGETS, Row, TargetUnavailable, is_known, target_named
from fuzzer.targets.target import Target
from fuzzer.trial import run_trial

_MEMORY: Final = 4 << 30
_WARM: Final = """function %warm(i64, i64) -> i64 {
    ss0 = explicit_slot 8
block0(v0: i64, v1: i64):
    v2 = iadd v0, v1
    v3 = stack_addr.i64 ss0
    store v2, v3
    v4 = load.i64 v3
    brif v4, block1(v4), block1(v0)
block1(v5: i64):
    return v5
}"""

_targets: dict[tuple[str, ...], Target] = {}
_warm: set[tuple[type[Target], str]] = set()


def main() -> None:
    """Serve until the questions end. ``sys.argv[1]``: the process number of who asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    questions, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # what a compiler prints is no answer
    with os.fdopen(questions, "rb") as source, os.fdopen(answers, "wb") as sink:
        while len(head := source.read(4)) == 4:
            request = json.loads(source.read(struct.unpack("<I", head)[0]))
            try:
                TARGETS.update({name: Row(*row) for name, row in request["targets"].items()})
                answer = _ANSWERS[request["ask"]](request)
            except Exception:
                answer = {"broken": traceback.format_exc()}
            sink.write(pack(answer))
            sink.flush()


def _target(name: str) -> Target:
    """One instance a row, whatever other rows come and go."""
    row = TARGETS.get(name)
    key = (name, *(row or ()))
    if key not in _targets:
        _targets[key] = target_named(name)
    return _targets[key]


def _warm_up(target: Target, isa: str, seconds: float) -> None:
    """Have the compiler and the checks loaded before the children are forked, if the compiler survives that.

    Measured over 500 entries of 30 instructions: 57 ms each without, 20 with.
    """
    if (type(target), isa) in _warm or isa not in target.isas or isa not in MACHINES:
        return
    _warm.add((type(target), isa))
    target.prepare(isa)
    prepare(target, isa)
    case = Case(parse_function(_WARM), [(1, 2)], isa=isa)

    def work(stage: object) -> bytes:
        run_trial(case, target, thorough=True)
        return b""

    if not isinstance(run_isolated(work, seconds=seconds, memory=_MEMORY), Death):
        run_trial(case, target, thorough=True)
    gc.collect()
    gc.freeze()


# -- questions -------------------------------------------------------------------------------------------------


def _about(request: Answer) -> Answer:
    """The ISAs of ``target`` (without one: the executor's), or why there is none; ready for it if ``isa`` is given."""
    if not request["target"]:
        return {"isas": list(MACHINES)}
    try:
        target = _target(request["target"])
    except TargetUnavailable as error:
        return {"error": one_line(str(error))}
    if request.get("isa"):
        _warm_up(target, request["isa"], request["seconds"])
    return {"isas": list(target.isas)}


def _replay(request: Answer) -> Answer:
    """The verdict on the entry in file ``path``, seen from ``folder``, by ``target`` (default: the entry's)
    for ``isa`` (default: the entry's). ``state``: tried, invalid or unavailable.
    """
    os.chdir(request["folder"])
    path = request["path"]
    try:
        entry = parse_entry(read_text(Path(path)), path)
    except EntryError as error:
        return {"state": "invalid", "detail": one_line(str(error))}
    isa = request["isa"] or entry.case.isa
    name = request["target"] or entry.target
    known = _described(entry, name, isa)
    try:
        target = _target(name)
    except TargetUnavailable as error:
        state = "unavailable" if is_known(name) else "invalid"
        return {**known, "state": state, "detail": one_line(f"{path}: {error}")}
    why = misfit(entry, target, isa, planted=False)
    if why:
        as_found = known["own_target"] and known["own_isa"]
        state = "unavailable" if isa not in target.isas and not as_found else "invalid"
        return {**known, "state": state, "detail": one_line(f"{path}: {why}")}
    _warm_up(target, isa, request["seconds"])
    verdict: Verdict = replay(entry, target, isa)
    holds = verdict.verdict in ("clean", "fixed")
    return {
        **known,
        "state": "tried",
        "verdict": verdict.verdict,
        "holds": holds,
        "detail": one_line(verdict.detail),
        "ir": "" if holds else visible(print_functions(entry.case.functions).rstrip("\n")),
    }


def _described(entry: Entry, target: str, isa: str) -> Answer:
    case = entry.case
    check = CHECKS.get(entry.check)
    shown = {
        "check": entry.check, "rule": check.doc if check else "", "status": entry.status,
        "target": target, "isa": isa, "signature": entry.signature, "observed": entry.observed,
        "options": ", ".join(f"{name}={value}" for name, value in sorted(case.options.items())),
    }  # fmt: skip
    return {
        **{name: one_line(text) for name, text in shown.items()},
        "own_target": target == entry.target,
        "own_isa": isa == case.isa,
    }


def _trial(request: Answer) -> Answer:
    """What became of a case: ``outcomes`` by the reference, ``violations``; or ``unsupported``, or ``error``.

    ``forked``: in a child. Otherwise only a target that may take its process down has one; if another does
    all the same, the host dies of it, and the question comes again with ``forked`` set.
    """
    isa = request["isa"]
    try:
        function, *others = [item.function for item in parse_file(request["functions"]).functions]
        for each in (function, *others):
            verify(each)
        target = _target(request["target"])
    except (ClifError, TargetUnavailable) as error:
        return {"error": str(error)}
    if isa not in target.isas:
        return {"error": f"{target.name} has no ISA {isa!r}; it has {', '.join(target.isas)}"}
    _warm_up(target, isa, request["seconds"])
    inputs = [tuple(int(value, 16) for value in values) for values in request["inputs"]]
    case = Case(function, inputs, isa=isa, memory=bytes.fromhex(request["memory"]),
                options=request["options"], others=others)  # fmt: skip

    if not target.isolated and not request["forked"]:
        signal.setitimer(signal.ITIMER_REAL, request["seconds"])  # whose signal ends the host
        answer = _try(case, target, request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return answer

    def work(stage: Callable[[str], None]) -> bytes:
        _announce(target, stage)
        return json.dumps(_try(case, target, request)).encode()

    ended = run_isolated(work, seconds=request["seconds"], memory=_MEMORY)
    if isinstance(ended, Death):
        from fuzzer.campaign.autopsy import (
            violation_of,  # brings Hypothesis: not for those who live
        )

        return {"violations": [_packed_violation(violation_of(ended))], "outcomes": []}
    return dict(json.loads(ended))


def _announce(target: Target, stage: Callable[[str], None]) -> None:
    """Have the target say when it compiles: for a child, which ends with it."""
    compile_ = target.compile

    def announced(case: Case) -> CompiledCode:
        stage("compiling")
        code = compile_(case)
        stage("executing")
        return code

    stage("interpreting")
    target.compile = announced  # type: ignore[method-assign]  # the one call all of a trial goes through


def _try(case: Case, target: Target, request: Answer) -> Answer:
    try:
        trial, found = run_trial(case, target, thorough=request["thorough"], only=request["only"])
    except (UndefinedBehaviour, BackendError) as error:
        return {"error": f"the case means nothing: {error}"}
    if isinstance(trial.error, OptionError):
        return {"error": str(trial.error)}
    return {
        "unsupported": trial.unsupported,
        "violations": [_packed_violation(violation) for violation in found],
        "outcomes": [_packed_outcome(outcome) for outcome in trial.outcomes],
    }


def _packed_violation(violation: Violation) -> list[Any]:
    return [violation.check, one_line(violation.detail), one_line(violation.key),
            violation.input_index, violation.suspect]  # fmt: skip


def _hexadecimal(numbers: tuple[int, ...]) -> list[str]:
    return [hex(number) for number in numbers]


def _packed_calls(outcome: Returned | Trapped) -> list[Any]:
    return [[call.name, _hexadecimal(call.args), _hexadecimal(call.open)] for call in outcome.calls]


def _packed_outcome(outcome: Outcome) -> list[Any]:
    if isinstance(outcome, Returned):
        return [
            "returned", _hexadecimal(outcome.values), outcome.memory.hex(), _packed_calls(outcome),
            outcome.open_memory.hex(), _hexadecimal(outcome.open_values),
        ]  # fmt: skip
    if isinstance(outcome, Trapped):
        return ["trapped", outcome.code, outcome.memory.hex(), _packed_calls(outcome),
                outcome.open_memory.hex()]  # fmt: skip
    return ["fuel"]


_ANSWERS: Final[dict[str, Callable[[Answer], Answer]]] = {
    "about": _about,
    "replay": _replay,
    "trial": _trial,
}
