"""The format of a corpus entry: a Cranelift filetest that Cranelift itself can read.

A comment block of flat TOML lines holds what filetests have no syntax for::

    ; /// clifhanger
    ; schema = 1
    ; check = "frame"
    ; ...
    ; ///
    test interpret
    test run
    target aarch64

    function %f() -> i32 { ... }
    ; run: %f() == 42

An entry holds the function, the inputs, the memory image and the options, never only a seed: a change of
the generator must not lose it. Inputs whose outcome a run line can't express (a trap, a data
region at a fixed address) are in the block alone. No comment begins with the words ``run`` or ``print``
by accident: the parser of filetests would take it for a command.
"""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from backend.errors import ClifError
from backend.ir.entities import AbiParam
from backend.ir.filetest import parse_file
from backend.ir.literals import print_float
from backend.ir.printer import print_function
from backend.ir.types import Type
from backend.ir.verifier import verify
from backend.options import features_of
from fuzzer.case import DATA_LIMIT, Case, OptionValue
from fuzzer.outcome import Outcome, OutOfFuel, Returned

SCHEMA: Final = 1
MAX_BYTES: Final = 1 << 20
_MAX_BLOCK: Final = 64 << 10
_MAX_DOTS: Final = 1 << 10
"""Full stops in a metadata block: a key of many parts costs the square of their number."""
_MAX_INPUTS: Final = 1 << 10
_MAX_STACK: Final = 1 << 20
"""Bytes of explicit stack slots: the reference and the executor have to hold them."""
_OPEN: Final = "; /// clifhanger"
_CLOSE: Final = "; ///"

STATUSES: Final = ("open", "fixed", "wontfix", "seed")


class EntryError(Exception):
    """A file that is no entry: says which, where and why in one line."""

    def __init__(self, path: str, message: str, line: int = 0, column: int = 0) -> None:
        place = f"{path}:{line}:{column}" if line else path
        super().__init__(f"{place}: {message}")


@dataclass(slots=True)
class Entry:
    """One corpus entry in memory. ``expected``: the reference's outcome of each input, as text."""

    case: Case
    check: str
    target: str
    signature: str
    kind: str = "mismatch"
    status: str = "open"
    observed: str = ""
    key: str = ""
    seed: str = ""
    plant: str = ""
    versions: str = ""
    expected: list[str] = field(default_factory=list)
    note: str = ""


def outcome_text(outcome: Outcome) -> str:
    """``returned 0x2a``, ``trap int_divz`` or ``out of fuel``; functions from outside it called follow:
    ``returned 0x2a, called %g(0x1) %h()``."""
    if isinstance(outcome, OutOfFuel):
        return "out of fuel"
    if isinstance(outcome, Returned):
        text = "returned" + "".join(f" {value:#x}" for value in outcome.values)
    else:
        text = f"trap {outcome.code}"
    called = [
        f" {name}({', '.join(f'{arg:#x}' for arg in args)})" for name, args, _ in outcome.calls
    ]
    return f"{text}, called{''.join(called)}" if called else text


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return '"' + "".join(_escape(c) for c in str(value)) + '"'


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\u{ord(char):04x}" if ord(char) < 0x10000 else "?"


def _period(memory: bytes) -> bytes:
    """The shortest prefix that gives ``memory`` when repeated."""
    for length in (1, 2, 4, 8, 16, 32, 64, 128, 251, 256, 512):
        piece = memory[:length]
        if (piece * (len(memory) // length + 1))[: len(memory)] == memory:
            return piece
    return memory


def print_entry(entry: Entry, outcomes: list[Outcome]) -> str:
    """The entry's text. ``outcomes``: the reference's, one an input."""
    case = entry.case
    fields: dict[str, object] = {
        "schema": SCHEMA,
        "kind": entry.kind,
        "check": entry.check,
        "signature": entry.signature,
        "status": entry.status,
        "target": entry.target,
        "isa": case.isa,
    }
    for name in ("key", "observed", "seed", "plant", "versions", "note"):
        if getattr(entry, name):
            fields[name] = getattr(entry, name)
    for name, value in sorted(case.options.items()):
        fields[f"option.{name}"] = value
    fields["inputs"] = [[f"{value:#x}" for value in values] for values in case.inputs]
    fields["expected"] = [outcome_text(outcome) for outcome in outcomes]
    if case.memory:
        fields["memory_size"] = len(case.memory)
        fields["memory"] = _period(case.memory).hex()
    lines = [_OPEN, *(f"; {name} = {_toml(value)}" for name, value in fields.items()), _CLOSE]
    on = [name for name in features_of(case.isa) if case.options.get(name)]
    lines += ["test interpret", "test run", " ".join(["target", case.isa, *on]), ""]
    lines.append(print_function(case.function).rstrip("\n"))
    run_lines = _run_lines(case, outcomes)
    if run_lines:
        lines += run_lines
    for function in case.others:
        lines += ["", print_function(function).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _run_lines(case: Case, outcomes: list[Outcome]) -> list[str]:
    if case.memory:
        return []
    lines = []
    for values, outcome in zip(case.inputs, outcomes, strict=True):
        # Filetests have no word for any NaN, nor for a function from outside.
        if isinstance(outcome, Returned) and not (outcome.open_values or outcome.calls):
            signature = case.function.signature
            results = _literals(outcome.values, signature.returns)
            right = results[0] if len(results) == 1 else f"[{', '.join(results)}]"
            args = ", ".join(_literals(values, signature.params))
            lines.append(f"; run: {case.function.name}({args}) == {right}")
    return lines


def _literals(values: tuple[int, ...], params: tuple[AbiParam, ...]) -> list[str]:
    return [_literal(value, param.type) for value, param in zip(values, params, strict=True)]


def _literal(value: int, type_: Type) -> str:
    if type_.is_float:
        return print_float(value, type_.bits)
    return str(value) if value < 10_000 else hex(value)


def read_text(path: Path) -> str:
    """A file's text, refused with one line if it is none that could be an entry."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise EntryError(str(path), error.strerror or "can't be opened") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise EntryError(str(path), "not a regular file")
    with os.fdopen(handle, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise EntryError(str(path), f"larger than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise EntryError(str(path), "not UTF-8", line, column) from None


def has_header(text: str) -> bool:
    """Does the text begin like an entry of ours?"""
    return text.startswith(_OPEN)


def _block(path: str, text: str) -> dict[str, Any]:
    lines = text.split("\n")
    if not lines or lines[0].rstrip() != _OPEN:
        raise EntryError(path, f"no entry: the first line is not {_OPEN!r}", 1, 1)
    for number, line in enumerate(lines[1:], 2):
        if line.rstrip() == _CLOSE:
            body = "\n".join(item.removeprefix("; ") for item in lines[1 : number - 1])
            break
        if not line.startswith("; "):
            raise EntryError(path, "the metadata block is not closed by '; ///'", number, 1)
    else:
        raise EntryError(path, "the metadata block is not closed by '; ///'", len(lines), 1)
    if len(body) > _MAX_BLOCK:
        raise EntryError(path, f"a metadata block of more than {_MAX_BLOCK} bytes", 1, 1)
    if body.count(".") > _MAX_DOTS:
        raise EntryError(path, f"a metadata block with more than {_MAX_DOTS} full stops", 1, 1)
    try:
        return tomllib.loads(body)
    except (ValueError, RecursionError) as error:  # a number of many digits is a ValueError
        raise EntryError(path, f"metadata: {_short(str(error))}", 2, 1) from None


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def parse_entry(text: str, path: str = "entry") -> Entry:
    """The entry a text holds; EntryError says what is wrong with it."""
    fields = _block(path, text)
    if fields.get("schema") != SCHEMA:
        raise EntryError(
            path, f"schema {_short(repr(fields.get('schema')))}, this version reads {SCHEMA}", 2, 1
        )

    def word(name: str, default: str | None = None) -> str:
        value = fields.get(name, default)
        if not isinstance(value, str):
            raise EntryError(path, f"metadata: {name} must be a string", 2, 1)
        return value

    try:
        parsed = parse_file(text, path)
        functions = [item.function for item in parsed.functions]
        if not functions:
            raise EntryError(path, "no function")
        for each in functions:
            verify(each)
    except ClifError as error:
        raise EntryError(path, error.message, error.line, error.column) from None
    function, *others = functions
    if len({each.name for each in functions}) < len(functions):
        raise EntryError(path, "two functions of one name")
    stack = sum(slot.size for each in functions for slot in each.stack_slots.values())
    if stack > _MAX_STACK:
        raise EntryError(path, f"stack slots of {stack} bytes, an entry has {_MAX_STACK} at most")
    params = [param.type for param in function.signature.params]
    inputs = fields.get("inputs", [])
    try:
        rows = [tuple(int(value, 16) for value in row) for row in inputs]
    except (TypeError, ValueError):
        raise EntryError(path, "metadata: inputs must be lists of hex strings", 2, 1) from None
    for row in rows:
        if len(row) != len(params) or any(
            not 0 <= v <= t.mask for v, t in zip(row, params, strict=True)
        ):
            raise EntryError(path, "metadata: an input does not fit the signature", 2, 1)
    if not rows:
        raise EntryError(path, "metadata: no inputs", 2, 1)
    if len(rows) > _MAX_INPUTS:
        raise EntryError(path, f"metadata: more than {_MAX_INPUTS} inputs", 2, 1)
    memory = _memory(path, fields)
    options = fields.get("option", {})
    if not isinstance(options, dict) or not all(
        isinstance(v, bool | int | str) for v in options.values()
    ):
        raise EntryError(path, "metadata: option values are booleans, numbers or strings", 2, 1)
    status = word("status", "open")
    if status not in STATUSES:
        raise EntryError(
            path, f"metadata: status {_short(repr(status))} is none of {', '.join(STATUSES)}", 2, 1
        )
    drawn: dict[str, OptionValue] = dict(options)
    case = Case(function, rows, isa=word("isa"), memory=memory, options=drawn, others=others)
    expected = fields.get("expected", [])
    if not isinstance(expected, list) or not all(isinstance(item, str) for item in expected):
        raise EntryError(path, "metadata: expected must be a list of strings", 2, 1)
    return Entry(
        case, word("check", ""), word("target"), word("signature", ""), word("kind", "mismatch"),
        status, word("observed", ""), word("key", ""), word("seed", ""), word("plant", ""),
        word("versions", ""), expected, word("note", ""),
    )  # fmt: skip


def _memory(path: str, fields: dict[str, Any]) -> bytes:
    size = fields.get("memory_size", 0)
    if not isinstance(size, int) or not 0 <= size <= DATA_LIMIT or size % 1024:
        raise EntryError(path, f"metadata: memory_size must be a multiple of 1024 up to {DATA_LIMIT}",
                         2, 1)  # fmt: skip
    if not size:
        return b""
    try:
        pattern = bytes.fromhex(fields.get("memory", ""))
    except (TypeError, ValueError):
        raise EntryError(path, "metadata: memory must be a string of hex digits", 2, 1) from None
    if not pattern:
        raise EntryError(path, "metadata: memory must not be empty", 2, 1)
    return (pattern * (size // len(pattern) + 1))[:size]


def load_entry(path: Path) -> Entry:
    """The entry in a file; EntryError if there is none."""
    return parse_entry(read_text(path), str(path))
