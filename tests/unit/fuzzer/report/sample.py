"""A campaign as it might have been: every kind of finding, a full matrix, and text that means harm."""

from __future__ import annotations

import random
from pathlib import Path

from backend.ir.opcodes import OPCODES
from fuzzer.explain.model import Asm, Divergence, Explanation, Line, Step, Toggle
from fuzzer.report.summary import Cell, Event, FindingRow, Fired, Sample, Summary

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m\x00]]>&'\"\u202e|`*_%0A::error::\r\nnext \ud800 {{ 7*7 }}"
"""What a compiler may print: markup, terminal escapes, NUL, a lone surrogate, other formats' special characters."""

HEADER = """\
; /// clifhanger
; schema = 1
; kind = "mismatch"
; check = "{check}"
; signature = "{signature}"
; status = "open"
; target = "builtin"
; isa = "{isa}"
; inputs = [[]]
; ///
test interpret
test run
target {isa}

"""
HEADER_LINES = HEADER.count("\n")

CLAMP = """\
function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iadd v0, v1
    v3 = icmp slt v2, v1
    brif v3, block1(v2), block2

block1(v4: i32):
    v5 = iconst.i32 255
    v6 = smin v4, v5
    return v6

block2:
    v7 = isub v2, v1
    return v7
}"""

LINES = [
    Line("block0(v0: i32, v1: i32):"),
    Line("    v2 = iadd v0, v1", ["%2 = add_rr.w %0, %1"], [Asm(8, "0000010b", "add w0, w0, w1")],
         "0x80000004", "0x80000004", "w0"),
    Line("    v3 = icmp slt v2, v1", ["cmp_rr.w %2, %1", "%3 = cset.w lo"],
         [Asm(12, "1f00016b", "cmp w0, w1"), Asm(16, "e3279f1a", "cset w3, lo")], "0x1", "0x0", "w3", True),
    Line("    brif v3, block1(v2), block2", ["cbnz.w %3, block1, block2"], [Asm(20, "63000035", "cbnz w3, #0x20")]),
    Line("block1(v4: i32):"),
    Line("    v5 = iconst.i32 255", ["%5 = movz.w 255, 0"], [Asm(32, "e41f8052", "mov w4, #0xff")], "0xff"),
    Line("    v6 = smin v4, v5", ["cmp_rr.w %4, %5", "%6 = csel.w lt %4, %5"],
         [Asm(36, "1f00046b", "cmp w0, w4"), Asm(40, "00b0841a", "csel w0, w0, w4, lt")]),
    Line("    return v6", ["ret %6@x0"],
         [Asm(44, "fd7bc1a8", "ldp x29, x30, [sp], #0x10"), Asm(48, "c0035fd6", "ret")]),
    Line("block2:"),
    Line("    v7 = isub v2, v1", ["%7 = sub_rr.w %2, %1"], [Asm(24, "0000014b", "sub w0, w0, w1")]),
    Line("    return v7", ["ret %7@x0"], [Asm(28, "fd7bc1a8", "ldp x29, x30, [sp], #0x10")]),
]  # fmt: skip

TRACE = [
    Step(0, "stp x29, x30, [sp, #-0x10]!", "sp=0x3000f7f0 [0x3000f7f0]=0x91ab03e2c18f0d71"),
    Step(4, "mov x29, sp", "x29=0x3000f7f0"),
    Step(8, "add w0, w0, w1", "x0=0x80000004", 1),
    Step(12, "cmp w0, w1", "n=1 c=1", 2),
    Step(16, "cset w3, lo", "x3=0x0", 2),
    Step(20, "cbnz w3, #0x20", "", 3),
    Step(24, "sub w0, w0, w1", "x0=0x7fffffff", 9),
    Step(28, "ldp x29, x30, [sp], #0x10", "x29=0x1 x30=0x20000 sp=0x3000f800", 10),
    Step(52, "ret", "pc=0x20000", 10),
]


def explanations() -> dict[str, Explanation]:
    """One with everything in it, one with a long trace and no value to blame, one of hostile text."""
    return {
        "a1b2c3d4e5f6": Explanation(
            "corpus/mismatch/result-builtin-aarch64-a1b2c3d4e5f6.clif", "failing", "result", "builtin", "aarch64",
            "result 0: expected 0x80000004, got 0x7fffffff", ["0x7fffffff", "0x5"], "returned 0x80000004",
            "returned 0x7fffffff", LINES, TRACE,
            Divergence("v3 (icmp slt) is 0x0 in w3 after `cset w3, lo` at 0x10; the reference has 0x1.",
                       "v3", "0x1", "0x0", "w3", 16, 4),
            [Toggle("without rule icmp_rr", "gone"), Toggle("option registers=28", "still"),
             Toggle("opt_level=none", "still"), Toggle("target llvm", "gone")],
            "lowering rule icmp_rr", "",
        ),
        "0c1d2e3f4a5b": Explanation(
            "corpus/mismatch/frame-builtin-aarch64-0c1d2e3f4a5b.clif", "failing", "frame", "builtin", "aarch64",
            "x29: expected 0xf400688ea9f406c8, got 0x0", [], "returned", "returned; x29=0x0",
            [Line("block0:"), Line("    return", ["ret"], [Asm(4, "c0035fd6", "ret")])],
            [Step(4 * n, f"add x{n % 28}, x{n % 28}, #1", f"x{n % 28}={n:#x}", 1) for n in range(400)],
            Divergence("x29 is 0x0 at the return; nothing put it back.", where="x29"), [], "frame layout",
            "the caller's x29",
        ),
        "deadbeef0001": Explanation(
            HOSTILE, "changed", "crash", "builtin", "aarch64", HOSTILE, [HOSTILE], HOSTILE, HOSTILE,
            [Line(HOSTILE, [HOSTILE], [Asm(0, HOSTILE, HOSTILE)], HOSTILE, HOSTILE, HOSTILE, True)],
            [Step(0, HOSTILE, HOSTILE, 0)], Divergence(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0, 0),
            [Toggle(HOSTILE, HOSTILE)], HOSTILE, HOSTILE,
        ),
    }  # fmt: skip


def finding(folder: Path, signature: str, check: str = "result", **fields: object) -> FindingRow:
    """A row whose entry is on disk in ``folder/corpus``, unless ``path`` says otherwise."""
    isa = str(fields.get("isa", "aarch64"))
    path = folder / "corpus" / "mismatch" / f"{check}-builtin-{isa}-{signature}.clif"
    if "path" not in fields:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            HEADER.format(check=check, signature=signature, isa=isa)
            + f"{CLAMP}\n; run: %f(0x7fffffff, 5) == 0x80000004\n"
        )
    row: dict[str, object] = {
        "signature": signature, "check": check, "kind": "mismatch", "target": "builtin", "isa": isa,
        "path": str(path), "skeleton": "iadd.i32 icmp.i32 brif.i8 smin.i32 isub.i32",
        "detail": "result 0: expected 0x80000004, got 0x7fffffff", "before": 41, "after": 8,
        "verdict": "new", "seconds": 12.5, "times": 3,
    }  # fmt: skip
    return FindingRow(**(row | fields))  # type: ignore[arg-type]  # the fields are those of the row


def findings(folder: Path) -> list[FindingRow]:
    """Known, new, suspect, without an entry, hostile, on another ISA."""
    return [
        finding(folder, "77aa88bb99cc", "poison", verdict="known", seconds=3.0, times=1204,
                detail="result 0 depends on what is undefined at entry", skeleton="uextend.i64 iadd.i64"),
        finding(folder, "a1b2c3d4e5f6"),
        finding(folder, "0c1d2e3f4a5b", "frame", seconds=31.0, times=1, before=125, after=1, skeleton="return",
                detail="x29: expected 0xf400688ea9f406c8, got 0x0"),
        finding(folder, "51deca5e0002", "memory", isa="riscv64", seconds=44.0,
                detail="data+0x18: expected 11 22 33 44, got 11 22 00 00", skeleton="store.i32 load.i16"),
        finding(folder, "50505bec7bec", "trap", seconds=47.2, suspect="Unicorn 2.1.4 mistakes `sdiv` by zero",
                detail="trap int_divz expected, returned 0x0", skeleton="sdiv.i32",
                path=str(folder / "corpus" / "gone.clif")),
        finding(folder, "deadbeef0001", "crash", kind="crash", seconds=52.0, detail=HOSTILE, skeleton=HOSTILE),
    ]  # fmt: skip


def summary(folder: Path, **fields: object) -> Summary:
    """A campaign of a minute on two ISAs, with the findings above. The same each time."""
    draw = random.Random(7)
    types = ("i8", "i16", "i32", "i64", "i128")
    cells = [
        Cell(op.name, type_.name, isa, 0 if draw.random() < 0.04 else int(draw.paretovariate(0.4)))
        for isa in ("aarch64", "riscv64")
        for op in OPCODES
        for type_ in op.over
        if type_.name in types and not (isa == "riscv64" and type_.name == "i128")
    ]
    cells += [Cell(name, "-", isa, 25_000 if name != "trapnz" else 0)
              for isa in ("aarch64", "riscv64") for name in ("jump", "return", "trapnz")]  # fmt: skip
    samples = [
        Sample(n * 0.5, int(n * 0.5 * 520 + 40 * draw.random()), n * 4160,
               sum(s < n * 0.5 for s in (3, 12.5, 31, 44, 47, 52)), 2)
        for n in range(1, 121)
    ]  # fmt: skip
    given: dict[str, object] = {
        "target": "builtin", "isas": ["aarch64", "riscv64"], "seed": 0x5EED, "shard": "2/4",
        "started": "2026-11-22T02:00:00.250+00:00", "seconds": 60.0,
        "versions": "clifhanger 0.1.0, builtin 0.1.0, unicorn 2.1.4",
        "options": {"opt_level": "speed", "registers": 8, "veneers": True}, "plants": ["caller-frame"],
        "corpus": str(folder / "corpus"), "out": str(folder), "functions": 31210, "runs": 499360,
        "instructions": 936_301, "out_of_fuel": 112, "worker_deaths": 1, "known": 1204, "interrupted": True,
        "findings": fields["findings"] if "findings" in fields else findings(folder),
        "unsupported": {"f32 is not supported": 210, HOSTILE: 3},
        "rules": [Fired(f"rule_{n}", isa, 0 if n % 13 == 5 else draw.randrange(1, 9000))
                  for isa in ("aarch64", "riscv64") for n in range(115)],
        "rows": [Fired(f"row_{n}.x", "aarch64", 0 if n in (3, 40) else draw.randrange(1, 30000)) for n in range(90)],
        "cells": cells, "samples": samples,
        "events": [Event(0.0, "start", "seed 0x5eed, 2 workers"), Event(3.0, "finding", "poison 77aa88bb99cc"),
                   Event(20.1, "death", f"worker 1 died of SIGSEGV on case 2/17/3: {HOSTILE}"),
                   Event(60.0, "stop", "interrupted")],
        "errors": [f"case 2/17/4: Traceback (most recent call last):\n  ...\nKeyError: {HOSTILE}"],
    }  # fmt: skip
    return Summary(**(given | fields))  # type: ignore[arg-type]  # the fields are the summary's


def quiet(folder: Path, **fields: object) -> Summary:
    """A campaign that found nothing, and hardly counted anything."""
    empty: dict[str, object] = {
        "isas": ["aarch64"], "shard": "1/1", "options": {}, "plants": [], "worker_deaths": 0, "known": 0,
        "interrupted": False, "findings": [], "unsupported": {}, "rules": [], "rows": [], "cells": [],
        "samples": [], "events": [], "errors": [],
    }  # fmt: skip
    return summary(folder, **(empty | fields))
