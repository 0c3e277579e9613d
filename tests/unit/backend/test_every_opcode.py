"""Every opcode of CLIF at every type it has: compiled and interpreted, or refused as unsupported, never anything else.

What a backend can't do is counted, by its reason; an exception of another kind would be taken for a bug of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from itertools import product

import pytest

from backend.compile import compile_function
from backend.errors import Unsupported, VerifyError
from backend.ir.entities import Function
from backend.ir.opcodes import OPCODES, Opcode, opcode_named, resolve
from backend.ir.parser import parse_function
from backend.ir.types import Type
from backend.ir.verifier import verify
from backend.isa import ISA_NAMES
from backend.options import Options
from fuzzer.reference.evaluate import prepare

#: how an opcode of a shape is written; ``{op}``: it and its type, ``{0}`` ...: its operands
WRITTEN = {
    "values": "{op} {all}", "varargs": "{op}", "int_const": "{op} 1", "float_const": "{op} 0x1.0p0",
    "pool_const": "{op} const0", "int_compare": "{op} slt {0}, {1}", "int_compare_imm": "{op} slt {0}, 3",
    "float_compare": "{op} lt {0}, {1}", "binary_imm": "{op} {0}, 3", "lane_of": "{op} {0}, 1",
    "lane_into": "{op} {0}, {1}, 1", "shuffle": "{op} {0}, {1}, 0x000102030405060708090a0b0c0d0e0f",
    "flagged_unary": "{op} little {0}", "load": "{op} {0}+4", "store": "{op} {0}, {1}+4",
    "atomic_load": "{op} {0}", "atomic_store": "{op} {0}, {1}", "atomic_rmw": "{op} add {0}, {1}",
    "atomic_cas": "{op} {0}, {1}, {2}", "slot": "{op} ss0+4", "slot_store": "{op} {0}, ss0",
    "dynamic_slot": "{op} dss0", "dynamic_slot_store": "{op} {0}, dss0",
    "jump": "{op} block1", "brif": "{op} {0}, block1, block1", "br_table": "{op} {0}, block1, [block1]",
    "call": "{op} fn0(v9)", "call_indirect": "{op} sig0, v9(v9)",
    "try_call": "{op} fn0(v9), sig0, block2(ret0), [ default: block2(v9) ]",
    "try_call_indirect": "{op} v9(v9), sig0, block2(ret0), []",
    "func": "{op} fn0", "global": "{op} gv0", "exception_handler": "{op} block1, 0",
    "trap": "{op} user1", "cond_trap": "{op} {0}, user1", "add_trap": "{op} {0}, {1}, user1",
}  # fmt: skip
#: results of those whose row leaves them to a signature
GIVEN = {"call": "v20 = ", "call_indirect": "v20 = "}


def functions(op: Opcode) -> list[str]:
    """A function with the opcode at each scalar type that it ranges over and one vector, and each second type."""
    made = []
    vectors = [type_ for type_ in op.over if type_.lanes > 1]
    for type_ in (*(type_ for type_ in op.over if type_.lanes == 1), *vectors[-1:]) or (None,):
        for second in op.second or (None,):
            try:
                made.append(function(op, type_, second))
            except (ValueError, KeyError):
                continue  # no such pair of types
    return made


def function(op: Opcode, type_: Type | None, second: Type | None) -> str:
    terms = [resolve(term, type_, second) for term in op.operands if term != "..."]
    results = [resolve(term, type_, second) for term in op.results if term != "..."]
    types = [term.name for term in terms if term is not None]
    values = [f"v{number}" for number in range(len(types))]
    name = op.name if type_ is None else f"{op.name}.{type_}"
    line = WRITTEN[op.shape].format(*values, op=name, all=", ".join(values))
    if results:
        line = f"{', '.join(f'v{20 + n}' for n in range(len(results)))} = {line}"
    params = ", ".join(f"{value}: {type_}" for value, type_ in zip(values, types, strict=True))
    constant = "0x" + "01" * (type_.bytes if type_ is not None else 16)
    convention = "tail" if "call" in op.name else "system_v"
    body = f"    {GIVEN.get(op.name, '')}{line}\n"
    if op.name.startswith("return"):
        body = body.replace("return\n", "return v9\n")
    elif not op.terminator:
        body += "    jump block1\n"
    return (
        f"function %f({', '.join([*types, 'i64'])}) -> i64 {convention} {{\n"
        "    ss0 = explicit_slot 64\n    gv0 = symbol %g\n    dt0 = i32x4*gv1\n"
        "    gv1 = dyn_scale_target_const.i32x4\n    dss0 = explicit_dynamic_slot dt0\n"
        f"    const0 = {constant}\n    sig0 = (i64) -> i64 {convention}\n    fn0 = %g sig0\n"
        f"block0({', '.join([*([params] if params else []), 'v9: i64'])}):\n{body}"
        "block1:\n    return v9\nblock2(v30: i64):\n    return v30\n}\n"
    )


def valid(op: Opcode) -> list[Function]:
    """Those of its functions that the verifier takes: two types may not go together."""
    found = []
    for text in functions(op):
        parsed = parse_function(text)
        with contextlib.suppress(VerifyError):
            verify(parsed)
            found.append(parsed)
    assert found, f"no valid function with {op}"
    return found


def reason(work: Callable[[], object]) -> str:
    """Why it is unsupported, or "" if it is done."""
    try:
        work()
    except Unsupported as error:
        return str(error) or "?"
    return ""


@pytest.mark.parametrize("op", OPCODES, ids=str)
def test_done_or_refused(op: Opcode) -> None:
    for parsed in valid(op):
        reasons = {
            reason(partial(compile_function, parsed, isa, Options.from_dict({"opt_level": level})))
            for isa, level in product(ISA_NAMES, ("none", "speed"))
        }
        assert "?" not in reasons | {reason(partial(prepare, parsed))}


def test_what_needs_handlers_is_refused_and_not_taken_for_a_jump() -> None:
    for op in ("try_call", "try_call_indirect"):
        (parsed,) = valid(opcode_named(op))
        assert reason(partial(compile_function, parsed)) == f"no rule for {op}"
