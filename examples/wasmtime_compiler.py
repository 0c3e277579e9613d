#!/usr/bin/env python3
"""Wasmtime behind the process protocol (docs/process-protocol.md): CLIF is translated to WebAssembly text.

It is interesting because Wasmtime has two backends: Cranelift behind a translation from WebAssembly, and Winch, which
compiles in a single pass. The only machine code here is that of an entry, which puts registers into memory and calls
the trampoline that Wasmtime makes for calls from outside. A value is a local, a block a case in a loop around all.
Traps, loads and stores are refused, but named: else no branches or floats are drawn. Needs wasmtime, pyelftools::

    clifhanger fuzz --target "process:python3 examples/wasmtime_compiler.py" -n 1000
"""

import io
import re
import struct
import sys

import wasmtime
from elftools.elf.elffile import ELFFile

OPTIONS = {  # with the numbers of Wasmtime's C API, which has no name for Winch
    "strategy": {"cranelift": 1, "winch": 2},
    "cranelift_opt_level": {"none": 0, "speed": 1, "speed_and_size": 2},
    "cranelift_regalloc_algorithm": {"backtracking": 0, "single_pass": 1},
}
WASM = {"i8": "i32", "i16": "i32", "i32": "i32", "i64": "i64", "f32": "f32", "f64": "f64"}
CAST = {("i32", "i64"): "(i64.extend_i32_u {})", ("i64", "i32"): "(i32.wrap_i64 {})"}
NARROW = {"i8": "(i32.and {} (i32.const 0xff))", "i16": "(i32.and {} (i32.const 0xffff))"}
# A word stands for (T.word X Y). T is WebAssembly's type of the first operand, R the result's. X, Y and Z are operands
# with zeros above, A and B are X and Y with their sign above, V is X as an R, W is Y as a T, Q is X as a result of the
# function, N how many bits X has, K a constant, J and L are jumps.
ROWS = """\
i8 i16 i32 i64: iadd add; isub sub; imul mul; band and; bor or; bxor xor; iconst (R.const K); sshr (T.shr_s A W)
i8 i16 i32 i64: ineg (T.sub (T.const 0) X); bnot (T.xor X (T.const -1)); ishl (T.shl X W); ushr (T.shr_u X W)
i8 i16 i32 i64: icmp eq eq; icmp ne ne; icmp ult lt_u; icmp ule le_u; icmp ugt gt_u; icmp uge ge_u
i8 i16 i32 i64: icmp slt (T.lt_s A B); icmp sle (T.le_s A B); icmp sgt (T.gt_s A B); icmp sge (T.ge_s A B)
ret: return (return)
i8 i16 i32 i64 f32 f64 jum: jump J
i8 i16 i32 i64 f32 f64: select (select Y Z (T.ne X (T.const 0)))
i32 i64: clz clz; ctz ctz; popcnt popcnt; rotl (T.rotl X W); rotr (T.rotr X W); fcvt_to_sint_sat (R.trunc_sat_T_s X)
i8 i16 i32 i64: brif (if (T.ne X (T.const 0)) (then J) (else L)); return (i64.store (local.get $frame) Q) (return)
f32 f64: return (T.store offset=48 (local.get $frame) X) (return)
i8 i16 i32 i64: ireduce V; uextend V; sextend (R.extendN_s V)
f32 f64: fadd add; fsub sub; fmul mul; fdiv div; fmin min; fmax max; fcopysign copysign; fneg neg; fabs abs
f32 f64: sqrt sqrt; fcvt_from_sint (R.convert_T_s A)
f32 f64: fcmp eq eq; fcmp ne ne; fcmp lt lt; fcmp le le; fcmp gt gt; fcmp ge ge; fcmp uge (i32.eqz (T.lt X Y))
f32 f64: f32const (T.const K); f64const (T.const K); fdemote (R.demote_T X); fpromote (R.promote_T X)
"""
TABLE = {
    (row[1], type_): row[2] if row[2][0] in "(VJ" else f"(T.{row[2]} X Y)"
    for line in ROWS.splitlines()
    for row in re.finditer(r"[:;] ((?:[if]cmp )?\w+) ([^;]+)", line)
    for type_ in line.split(":")[0].split()
}
WORDS = ("clz", "ctz", "popcnt", "rotl", "rotr", "fcvt_to_sint_sat")  # not i8, i16
FORMS = {f"{name}.{type_}" if name in WORDS else name.split()[0] for name, type_ in TABLE}
DESCRIPTION = f"""ok
isa x86_64
{chr(10).join(f"option {name} {' '.join(values)}" for name, values in OPTIONS.items())}
only trap load store {" ".join(sorted(FORMS))}
results 1
"""
# Six integers are pushed below eight floats, then 512 zeros for what Wasmtime looks up: its store (at 256), and the
# size of the memory (at 64). The array of arguments has one: where the integers are.
TRAMPOLINE = "wasm[0]::array_to_wasm_trampoline[0]"
STORES = "".join(f"f20f11{0x44 + 8 * n:x}24{8 * n:02x}" for n in range(8))
ENTRY = bytes.fromhex(
    f"554889e54883ec40 {STORES}"  # push rbp; mov rbp, rsp; sub rsp, 64; movsd [rsp + 8 * n], xmm
    "41514150515256574889e2"  # push r9; push r8; push rcx; push rdx; push rsi; push rdi; mov rdx, rsp
    "b9400000006a00e2fc4889e74889e6"  # mov ecx, 64; 1: push 0; loop 1b; mov rdi, rsp; mov rsi, rsp
    "488d87000100004889470848c74740ffffffff"  # lea rax, [rdi + 256]; mov [rdi + 8], rax; mov qword [rdi + 64], -1
    "52524889e2b901000000e8"  # push rdx; push rdx; mov rdx, rsp; mov ecx, 1; call ...
)
LEAVE = bytes.fromhex("488b4590f20f1045c0c9c3")  # rax, xmm0 from where they were; leave; ret


def translate(text: str) -> str:
    """The function in WebAssembly text. Its parameter is where the entry has put the registers."""
    head, *bodies = re.split("^block", re.sub(" *;.*|^}", "", text, flags=re.M), flags=re.M)
    mark = "".join(re.findall(r"-> \w+ (\w+)", head)) or "u"
    types = {"next": "i32", **dict(re.findall(r"(v\d+): (\w+)", text))}
    blocks = {re.match(r"\d+", body)[0]: body.strip().splitlines() for body in bodies}

    def jump(target: str) -> str:
        name, *values = re.findall(r"\w+", target)
        params = re.findall(r"v\d+", blocks[name][0])
        gets = "".join(f"(local.get ${value}) " for value in values)  # all, before the first is set
        sets = "".join(f"(local.set ${param}) " for param in reversed(params))
        return f"{gets}{sets}(local.set $next (i32.const {list(blocks).index(name)})) (br $go)"

    def instruction(line: str) -> str:
        made, opcode, form, rest = re.findall(r"(?:(v\d+) = )?([a-z]\w+)\.?(\w*) ?(.*)", line)[0]
        values = re.findall(r"v\d+", rest)
        of = [types[value] for value in values] or [form or opcode[:3]]  # f32const has no form
        form = form or of[opcode == "select"]
        types[made] = "i8" if "cmp" in opcode else form
        t, r, bits = WASM.get(of[0], ""), WASM.get(types[made], ""), of[0][1:]
        x, y, z = [*(f"(local.get ${value})" for value in values), "", "", ""][:3]
        a, b = (f"(i32.extend{bits}_s {got})" if of[0] in NARROW else got for got in (x, y))
        v, w = CAST.get((t, r), "{}").format(x), CAST.get((WASM.get(of[-1]), t), "{}").format(y)
        w = f"(i32.and {w} (i32.const {int(bits) - 1}))" if of[0] in NARROW else w
        q = f"(i64.extend_i32_{mark[0]} {a if mark == 'sext' else x})" if t == "i32" else x
        jumps = [jump(target) for target in re.findall(r"block(\d+(?:\([^)]*\))?)", rest)]
        known = (t, r, bits, rest.lower(), x, y, z, a, b, v, w, q, *jumps)
        fields = dict(zip("TRNKXYZABVWQJL", known, strict=False))
        if "cmp" in opcode or "NaN:" in rest:  # those have another text in WebAssembly
            opcode += " " + rest.split(" ")[0]
        wat = re.sub("[A-Z]", lambda letter: fields[letter[0]], TABLE[opcode, form])
        return f"(local.set ${made} {NARROW.get(types[made], '{}').format(wat)})" if made else wat

    start, free = "", {"i": iter(range(0, 48, 8)), "f": iter(range(48, 112, 8))}
    for value, type_ in re.findall(r"(v\d+): (\w+)", blocks["0"][0]):
        wat = f"({WASM[type_]}.load offset={next(free[type_[0]])} (local.get $frame))"
        start += f"(local.set ${value} {NARROW.get(type_, '{}').format(wat)})"
    wat = f"(br_table {' '.join(f'$case{n}' for n in range(len(blocks)))} (local.get $next))"
    for number, lines in enumerate(blocks.values()):
        wat = f"(block $case{number} {wat}) {' '.join(map(instruction, lines[1:]))}"
    names = " ".join(f"(local ${v} {WASM[type_]})" for v, type_ in types.items() if v)
    return f'(module (memory i64 1) (func (export "") (param $frame i64) {names} {start} (loop $go {wat}) unreachable))'


def compiled(question: str) -> str:
    """The answer. All that Wasmtime made is "data", since it does not say where constants are."""
    options = dict(re.findall(r"^option (\w+) (\w+)$", question, re.M))
    config = wasmtime.Config()
    config.target = "x86_64-unknown-linux-gnu"  # and nothing more that this processor has
    for name, values in OPTIONS.items():
        number = values[options.get(name, next(iter(values)))]
        getattr(wasmtime._ffi, f"wasmtime_config_{name}_set")(config.ptr(), number)
    module = wasmtime.Module(wasmtime.Engine(config), translate(question))
    elf = ELFFile(io.BytesIO(module.serialize()))
    code = elf.get_section_by_name(".text").data()
    (to,) = elf.get_section_by_name(".symtab").get_symbol_by_name(TRAMPOLINE)
    entry = ENTRY + struct.pack("<i", to["st_value"] - len(code) - len(ENTRY) - 4) + LEAVE
    return f"ok\nsymbol %f {len(code)}\ndata 0 {len(code)}\ncode {(code + entry).hex()}\n"


def main() -> None:
    while length := sys.stdin.buffer.read(4):
        question = sys.stdin.buffer.read(*struct.unpack("<I", length)).decode()
        try:
            said = compiled(question) if question.startswith("compile") else DESCRIPTION
        except (KeyError, StopIteration) as missing:  # an opcode, a type, a register
            said = f"unsupported\n{missing!r}\n"
        sys.stdout.buffer.write(struct.pack("<I", len(said)) + said.encode())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
