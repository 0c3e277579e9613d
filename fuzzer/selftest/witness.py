"""The case that a bug's witness stands for.

A witness is a CLIF function, and behind it those that it may call, followed by comment lines of its own:
``; input: 1, 0x80`` one value a parameter (``; input:`` alone for none), and ``; memory: 1024`` for a data region of
that many bytes, all zero, whose address is 0x20000000. The first function is run.
"""

from __future__ import annotations

import re
from typing import Final

from backend.ir.filetest import parse_file
from backend.ir.verifier import verify
from fuzzer.case import Case, Input
from fuzzer.selftest.bug import Bug

_INPUT: Final = re.compile(r"^; input:(.*)$", re.MULTILINE)
_MEMORY: Final = re.compile(r"^; memory: (\d+)$", re.MULTILINE)


def case_of(bug: Bug) -> Case:
    """The witness as a case under the bug's options. ClifError or ValueError if it is none."""
    text = bug.witness
    function, *others = [entry.function for entry in parse_file(text).functions]
    for one in (function, *others):
        verify(one)
    params = [param.type for param in function.signature.params]
    inputs: list[Input] = []
    for line in _INPUT.findall(text):
        values = [int(word, 0) for word in line.split(",") if word.strip()]
        inputs.append(
            tuple(value & type_.mask for value, type_ in zip(values, params, strict=True))
        )
    if not inputs:
        raise ValueError(f"{bug.name}: the witness has no input")
    memory = _MEMORY.search(text)
    return Case(function, inputs, memory=bytes(int(memory[1])) if memory else b"",
                options=dict(bug.options), isa=bug.isa, others=others)  # fmt: skip


def clif(params: str, results: str, body: str, *inputs: str, memory: int = 0) -> str:
    """A witness's text. ``params``, ``results``: types between spaces; the parameters are v0, v1 ...;
    ``body``: instructions, and headers of further blocks, between semicolons.
    """
    types = params.split()
    header = ", ".join(f"v{number}: {type_}" for number, type_ in enumerate(types))
    returns = " -> " + ", ".join(results.split()) if results else ""
    lines = [
        f"function %f({', '.join(types)}){returns} {{",
        f"block0({header}):" if types else "block0:",
    ]
    for line in body.split(";"):
        text = line.strip()
        lines.append(text if text.endswith(":") else "    " + text)
    lines += [
        "}",
        *([f"; memory: {memory}"] if memory else []),
        *(f"; input: {i}" for i in inputs or ("",)),
    ]
    return "\n".join(lines) + "\n"
