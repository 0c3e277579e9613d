"""What tells root causes apart.

A signature is a hash over the violated check, the target, the ISA, the violation's key and, for
checks whose key says little (a wrong value is a wrong value), the *skeleton* of the minimal function: its
opcodes and types in order, without names, numbers and constants. What comes of a fault of the emulator has that in
place of both: it looks like a hundred bugs and is one.
"""

from __future__ import annotations

import hashlib

from backend.ir.entities import Function
from fuzzer.case import Case
from fuzzer.checks import CHECKS
from fuzzer.finding import Finding

_PLUMBING = frozenset({"iconst", "return", "jump"})


def skeleton(case: Case) -> str:
    """``icmp.i8 brif``: what the case's functions are made of, in one line, `` | `` between two."""
    return " | ".join(map(_skeleton, case.functions))


def _skeleton(function: Function) -> str:
    words = []
    for inst in function.instructions():
        if inst.op.name in _PLUMBING:
            continue
        type_ = inst.type
        if type_ is None and inst.args:
            type_ = function.value_types[inst.args[0]]
        words.append(inst.op.name + (f".{type_.name}" if type_ is not None else ""))
    return " ".join(words) or " ".join(inst.op.name for inst in function.instructions())


def signature(finding: Finding) -> str:
    """Twelve hex digits; the same for what is taken to be the same bug."""
    violation = finding.violation
    cause = violation.fault or violation.key
    parts = [violation.check, finding.target, finding.case.isa, cause]
    if not violation.fault and (CHECKS[violation.check].by_shape or violation.vague):
        parts.append(skeleton(finding.case))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
