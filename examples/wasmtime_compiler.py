"""Wasmtime behind the process protocol (docs/process-protocol.md): CLIF becomes WebAssembly text.

Wasmtime has two backends: Cranelift, and Winch, which compiles in a single pass. Here are integers and branches only;
floats would take more exceptions than rows of a table. Needs the packages wasmtime and pyelftools::

    clifhanger fuzz --target "process:python3 examples/wasmtime_compiler.py" -n 1000
"""

import io
import re
import struct
import sys

import wasmtime
from elftools.elf.elffile import ELFFile

# A value is an i64 local with zeros above the bits of its type. Rows with {type} are done in i32, at i64 in i64; those
# without use the locals as they are. Function.instruction fills the braces in.
OPERATIONS = {
    "iconst": "({type}.const {text})",
    "iadd": "({type}.add {x} {y})",
    "isub": "({type}.sub {x} {y})",
    "imul": "({type}.mul {x} {y})",
    "band": "({type}.and {x} {y})",
    "bor": "({type}.or {x} {y})",
    "bxor": "({type}.xor {x} {y})",
    "ineg": "({type}.sub ({type}.const 0) {x})",
    "bnot": "({type}.xor {x} ({type}.const -1))",
    "ishl": "({type}.shl {x} ({type}.and {y} ({type}.const {last_bit})))",
    "ushr": "({type}.shr_u {x} ({type}.and {y} ({type}.const {last_bit})))",
    "sshr": "({type}.shr_s {signed_x} ({type}.and {y} ({type}.const {last_bit})))",
    "rotl.i64": "(i64.rotl {x} {y})",  # WebAssembly has none of 8 and 16 bits
    "clz.i64": "(i64.clz {x})",
    "popcnt": "({type}.popcnt {x})",
    "icmp": "(select ({type}.const 1) ({type}.const 0) ({type}.{condition} {signed_x} {signed_y}))",
    "select": "(select {y} {z} (i64.ne {x} (i64.const 0)))",
    "uextend": "{x}",
    "ireduce": "{x}",
    "sextend": "{signed_x}",
    "jump": "{jumps[0]}",
    "brif": "(if (i64.ne {x} (i64.const 0)) (then {jumps[0]}) (else {jumps[1]}))",
    "return": "(return {returned})",
}
MASKS = {"i8": 0xFF, "i16": 0xFFFF, "i32": 0xFFFF_FFFF, "i64": -1}
DESCRIPTION = f"""ok
isa x86_64
option strategy cranelift winch
only {" ".join(OPERATIONS)}
results 1
"""

# Wasmtime's trampoline takes arguments from an array, 16 bytes each, and puts the result there. The entry makes that of
# registers, and below it a context of 512 zeros. At [context + 8] is a pointer to a stack limit: to the 256th of them.
TRAMPOLINE = "wasm[0]::array_to_wasm_trampoline[0]"
ENTRY = bytes.fromhex(
    "554889e541514151415041505151525256565757"  # push rbp; mov rbp, rsp; push r9, r8, rcx, rdx, rsi, rdi, each twice
    "4889e2b9400000006a00e2fc"  # mov rdx, rsp; mov ecx, 64; 1: push 0; loop 1b
    "4889e74889e6488d870001000048894708"  # mov rdi, rsp; mov rsi, rsp; lea rax, [rdi + 256]; mov [rdi + 8], rax
    "b906000000e8"  # mov ecx, 6; call ...
)
LEAVE = bytes.fromhex("488b45a0c9c3")  # mov rax, [rbp - 96]; leave; ret


class Function:
    """A function in CLIF, translated instruction by instruction."""

    def __init__(self, text: str) -> None:
        head, *blocks = re.split("^block", re.sub(r"\s*;.*|^}", "", text, flags=re.M), flags=re.M)
        self.returns_signed = re.search(r"-> \w+ sext", head)
        self.blocks = {re.match(r"\d+", block)[0]: block.strip().splitlines() for block in blocks}
        self.types = dict(re.findall(r"(v\d+): (\w+)", text))  # of parameters; results are added

    def jump(self, target: str) -> str:
        name, *arguments = re.findall(r"\w+", target)
        parameters = re.findall(r"v\d+", self.blocks[name][0])
        gets = [f"(local.get ${value})" for value in arguments]  # all, before the first is set
        sets = [f"(local.set ${value})" for value in reversed(parameters)]
        number = list(self.blocks).index(name)
        return f"{' '.join(gets + sets)} (local.set $next (i32.const {number})) (br $go)"

    def assign(self, value: str, wat: str) -> str:
        return f"(local.set ${value} (i64.and {wat} (i64.const {MASKS[self.types[value]]})))"

    def instruction(self, line: str) -> str:
        """The row of its opcode, filled in; operands are x, y and z."""
        parts = re.fullmatch(r" *(?:(v\d+) = )?(\w+)\.?(\w*) ?(.*)", line)
        result, opcode, written_type, text = parts.groups()
        values = re.findall(r"v\d+", text)
        types = [self.types[value] for value in values] or ["i64"]
        clif_type = written_type or types[opcode == "select"]
        row = OPERATIONS.get(opcode) or OPERATIONS[f"{opcode}.{clif_type}"]
        wasm = "i32" if "{type}" in row and clif_type != "i64" else "i64"
        fields = {"type": wasm, "text": text, "last_bit": int(clif_type[1:]) - 1}
        fields["condition"] = re.sub("^([us])(..)", r"\2_\1", text.split(" ")[0])  # slt is lt_s
        fields["jumps"] = [self.jump(to) for to in re.findall(r"block(\d+(?:\(.*?\))?)", text)]
        for name, value, type_ in zip("xyz", values, types, strict=False):
            local = f"(local.get ${value})"
            get = local if wasm == "i64" else f"(i32.wrap_i64 {local})"
            signed = f"({wasm}.extend{type_[1:]}_s {get})"
            fields |= {name: get, f"signed_{name}": get if type_ == wasm else signed}
        fields["returned"] = fields.get("signed_x" if self.returns_signed else "x", "(i64.const 0)")
        wat = row.format(**fields)
        if not result:
            return wat
        self.types[result] = "i8" if opcode == "icmp" else clif_type
        return self.assign(result, wat if wasm == "i64" else f"(i64.extend_i32_u {wat})")

    def module(self) -> str:
        """Each block is a case in a loop, which begins anew with each jump."""
        parameters = re.findall(r"v\d+", self.blocks["0"][0])
        if len(parameters) > 6:
            raise KeyError("arguments on the stack")
        start = [self.assign(value, f"(local.get {n})") for n, value in enumerate(parameters)]
        cases = " ".join(f"$case{number}" for number in range(len(self.blocks)))
        wat = f"(br_table {cases} (local.get $next))"
        for number, lines in enumerate(self.blocks.values()):
            wat = f"(block $case{number} {wat}) {' '.join(map(self.instruction, lines[1:]))}"
        names = " ".join(f"(local ${value} i64)" for value in self.types)
        head = f'(func (export "") (param {"i64 " * 6}) (result i64) (local $next i32) {names}'
        return f"(module {head} {' '.join(start)} (loop $go {wat}) unreachable))"


def compiled(question: str) -> str:
    """The answer. All that Wasmtime made is "data", since it does not say where constants are."""
    config = wasmtime.Config()
    config.target = "x86_64-unknown-linux-gnu"  # and nothing more that this processor has
    strategy = 2 if "option strategy winch" in question else 1  # only the C API has Winch
    wasmtime._ffi.wasmtime_config_strategy_set(config.ptr(), strategy)
    module = wasmtime.Module(wasmtime.Engine(config), Function(question).module())
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
        except KeyError as missing:  # an opcode or type of no table, or a value made below
            said = f"unsupported\n{missing}\n"
        sys.stdout.buffer.write(struct.pack("<I", len(said)) + said.encode())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
