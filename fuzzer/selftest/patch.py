"""Ways to put a bug in and take it out again, whatever happens in between.

Invariants: leaving a patch restores what was there, object for object; a patch that no longer fits the
backend's source is a ValueError, never a patch that does nothing; what the backend compiled or
remembered under one state is not used under the other. (The memories of fuzzer.checks hold facts
about words, which no patch of the backend changes.)
"""

from __future__ import annotations
import __future__

import contextlib
import inspect
import itertools
import linecache
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from backend.ir.opcodes import opcode_named
from backend.isa import isa_named
from backend.lower import expand
from backend.lower.pairs import PAIRS
from backend.lower.patterns import parse_pattern
from backend.opt import matching, simplify

ISA = "aarch64"
"""Whose tables the patches of rows and rules change unless they say."""

_number = itertools.count()


@contextlib.contextmanager
def attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name`` is ``value`` for a while."""
    missing = object()
    before = vars(owner).get(name, missing) if hasattr(owner, "__dict__") else getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


@contextlib.contextmanager
def wrapped(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    """``owner.name`` is what ``wrap`` makes of it for a while."""
    with attribute(owner, name, wrap(getattr(owner, name))):
        yield


@contextlib.contextmanager
def item(table: Any, key: Any, value: Any) -> Iterator[None]:
    """``table[key]`` is ``value`` for a while."""
    known = key in table
    before = table[key] if known else None
    table[key] = value
    try:
        yield
    finally:
        if known:
            table[key] = before
        else:
            del table[key]


@contextlib.contextmanager
def together(*plants: contextlib.AbstractContextManager[None]) -> Iterator[None]:
    """Several patches as one bug."""
    with contextlib.ExitStack() as stack:
        for plant in plants:
            stack.enter_context(plant)
        yield


@contextlib.contextmanager
def edited(function: Any, *changes: str) -> Iterator[None]:
    """The function's source with ``changes`` made: old text, new text, old text, new text ...

    The code object of the function itself is exchanged, so everyone who holds the function runs
    the edited one. A cached function forgets its results. ValueError unless each old text
    occurs exactly once.
    """
    plain: FunctionType = inspect.unwrap(function)
    source = textwrap.dedent(inspect.getsource(plain))
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        if source.count(old) != 1:
            raise ValueError(f"{plain.__qualname__}: {source.count(old)} times {old!r}")
        source = source.replace(old, new)
    before = plain.__code__
    filename = f"<planted {next(_number)} in {plain.__qualname__}>"
    module = compile(source, filename, "exec", __future__.annotations.compiler_flag, True)
    code = _code_named(module, plain.__name__)
    if code.co_freevars != before.co_freevars:
        raise ValueError(f"{plain.__qualname__} is a closure")
    forget = getattr(function, "cache_clear", None)
    # So that another patch of the same function finds its source.
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    plain.__code__ = code
    if forget is not None:
        forget()
    try:
        yield
    finally:
        plain.__code__ = before
        del linecache.cache[filename]
        if forget is not None:
            forget()


def _code_named(module: CodeType, name: str) -> CodeType:
    for constant in module.co_consts:
        if isinstance(constant, CodeType) and constant.co_name == name:
            return constant
    raise ValueError(f"no function {name} in its own source")


@contextlib.contextmanager
def row(
    name: str, *, pattern: str | None = None, template: str | None = None, isa: str = ISA
) -> Iterator[None]:
    """An instruction row with another bit pattern, another text, or both (then they agree)."""
    changed = isa_named(isa).table[name]
    before = changed.pattern, changed.template, changed.aliases
    if template is not None:
        changed.aliases = ()
    changed.recompile(pattern=pattern, template=template)
    try:
        yield
    finally:
        changed.aliases = before[2]
        changed.recompile(pattern=before[0], template=before[1])


@contextlib.contextmanager
def bits(name: str, *changes: str, isa: str = ISA) -> Iterator[None]:
    """An instruction row with ``changes`` (old, new, ...) made in its bit pattern."""
    pattern = _replaced(isa_named(isa).table[name].pattern, changes)
    yield from _nested(row(name, pattern=pattern, isa=isa))


@contextlib.contextmanager
def rule(name: str, *, isa: str = ISA, **changes: Any) -> Iterator[None]:
    """A lowering rule with other ``when``, ``emit``, ``types`` ... All rules are compiled anew.

    A pair ``(old, new)`` instead of a text is made in what is there.
    """
    rules = isa_named(isa).rule_set
    changed = next((r for r in rules.rules if r.name == name), None)
    if changed is None:
        raise ValueError(f"no rule {name}")
    with contextlib.ExitStack() as stack:
        for field, value in changes.items():
            if isinstance(value, tuple):
                value = _replaced(getattr(changed, field), value)
            elif field == "pattern":
                value = parse_pattern(value)
            stack.enter_context(attribute(changed, field, value))
        stack.enter_context(recompiled(isa))
        yield


@contextlib.contextmanager
def improvement(name: str, *changes: str) -> Iterator[None]:
    """A rule of the optimiser with ``changes`` (old, new, ...) made in its row; with none, the rule left out."""
    with contextlib.ExitStack() as stack:
        for text, table, compiled in (
            ("RULES", "ALGEBRA", simplify.REWRITES), ("TRUTHS", "TRUTH", simplify.TRUTHS)
        ):  # fmt: skip
            rows = getattr(matching, text).splitlines()
            place = next((n for n, row in enumerate(rows) if row.startswith(f"{name}:")), -1)
            if place < 0:
                continue
            row, _, condition = rows[place].partition(" if ")
            left_out = f"{row} if False and ({condition or True})"
            rows[place] = _replaced(rows[place], changes) if changes else left_out
            first = getattr(matching, table)[0].number
            stack.enter_context(
                attribute(matching, table, matching.parse_rules("\n".join(rows), first))
            )
            remake = matching.compile_rewrites if table == "ALGEBRA" else matching.compile_truths
            for root, made in remake().items():
                stack.enter_context(item(compiled, root, made))
            yield
            return
    raise ValueError(f"the optimiser has no rule {name}")


@contextlib.contextmanager
def pair(name: str, *changes: str) -> Iterator[None]:
    """What an opcode of i128 comes to, with ``changes`` (old, new, ...) made in its row."""
    parts = expand._parse(_replaced(PAIRS[name], changes))
    yield from _nested(item(expand._PAIRS, opcode_named(name), parts))


def _replaced(text: str, changes: tuple[str, ...]) -> str:
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        if text.count(old) != 1:
            raise ValueError(f"{text.count(old)} times {old!r} in {text!r}")
        text = text.replace(old, new)
    return text


def _nested(inner: contextlib.AbstractContextManager[None]) -> Iterator[None]:
    with inner:
        yield


@contextlib.contextmanager
def recompiled(isa: str = ISA) -> Iterator[None]:
    """All lowering rules compiled anew, and again what they were afterwards."""
    rules = isa_named(isa).rule_set
    compiled = dict(rules._dispatches)
    rules.recompile()
    try:
        yield
    finally:
        rules.recompile()
        rules._dispatches.update(compiled)
