#!/usr/bin/env python3
"""A compiler of three instructions for x86-64, as a server of the process protocol (docs/process-protocol.md).

It is here to be copied from: nothing of it depends on the fuzzer. Each value has a place in the frame; at ``speed`` the
value made last is taken from RAX instead.

::

    clifhanger fuzz --target "process:python3 examples/tiny_compiler.py" -n 500
"""

import re
import struct
import sys
from typing import BinaryIO

DESCRIPTION = """ok
name tiny
version 1.0
isa x86_64
option opt_level none speed
level none opt_level=none
level speed opt_level=speed
only iconst iadd return
results 1
"""
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
# mov [rbp + offset], register: of the six registers that arguments come in
SPILLS = [
    b"\x48\x89\xbd",
    b"\x48\x89\xb5",
    b"\x48\x89\x95",
    b"\x48\x89\x8d",
    b"\x4c\x89\x85",
    b"\x4c\x89\x8d",
]


class Unsupported(Exception):
    """What this compiler does not do: the fuzzer counts it, and it is no failure."""


class Emitter:
    """The code of one function."""

    def __init__(self, fast: bool) -> None:
        self.code = bytearray()
        self.fast = fast
        self.latest = -1

    def at(self, opcode: bytes, value: int) -> None:
        """An instruction on the place of a value, which is 8 bytes below those of the values before it."""
        self.code += opcode + struct.pack("<i", -8 * (value + 1))

    def fetch(self, value: int) -> None:
        """Bring a value into RAX."""
        if not self.fast or value != self.latest:
            self.at(b"\x48\x8b\x85", value)  # mov rax, [value]

    def keep(self, value: int) -> None:
        """Put RAX into the place of a value."""
        self.at(b"\x48\x89\x85", value)  # mov [value], rax
        self.latest = value


def compile_function(text: str, options: dict[str, str]) -> bytes:
    """Machine code of one function in CLIF. Unsupported if it has anything but the three instructions."""
    head, *lines = [
        line.split(";")[0].strip() for line in text.splitlines() if line.split(";")[0].strip()
    ]
    result = re.search(r"-> (\w+)(?: (\w+))? *\{$", head)
    if result is None or result[1] not in BITS or result[2] not in (None, "uext", "sext"):
        raise Unsupported(f"signature {head}")
    values = [int(number) for number in re.findall(r"\bv(\d+)\b", text)]
    out = Emitter(options.get("opt_level") == "speed")
    frame = (8 * (max(values) + 1) + 15) & ~15
    out.code += b"\x55\x48\x89\xe5\x48\x81\xec" + struct.pack(
        "<i", frame
    )  # push rbp; mov rbp, rsp; sub rsp, frame
    for number, line in enumerate(lines):
        if number == 0 and (block := re.fullmatch(r"block\d+(?:\((.*)\))?:", line)):
            for place, param in enumerate(filter(None, (block[1] or "").split(", "))):
                value, type_ = re.fullmatch(r"v(\d+): (\w+)", param).groups()
                if type_ not in BITS:
                    raise Unsupported(f"a parameter of type {type_}")
                if place < len(SPILLS):
                    out.at(SPILLS[place], int(value))
                else:
                    out.code += b"\x48\x8b\x85" + struct.pack(
                        "<i", 16 + 8 * (place - len(SPILLS))
                    )  # mov rax, [arg]
                    out.keep(int(value))
        elif const := re.fullmatch(r"v(\d+) = iconst\.(?:i8|i16|i32|i64) (\S+)", line):
            bits = int(const[2].replace("_", ""), 0) & (1 << 64) - 1
            out.code += b"\x48\xb8" + struct.pack("<Q", bits)  # mov rax, bits
            out.keep(int(const[1]))
        elif add := re.fullmatch(r"v(\d+) = iadd(?:\.(?:i8|i16|i32|i64))? v(\d+), v(\d+)", line):
            out.fetch(int(add[2]))
            out.at(b"\x48\x03\x85", int(add[3]))  # add rax, [value]
            out.keep(int(add[1]))
        elif ret := re.fullmatch(r"return v(\d+)", line):
            out.fetch(int(ret[1]))
            unused = 64 - BITS[result[1]]
            if result[2] and unused:  # shl rax, unused; shr or sar rax, unused
                back = b"\x48\xc1\xe8" if result[2] == "uext" else b"\x48\xc1\xf8"
                out.code += b"\x48\xc1\xe0" + bytes([unused]) + back + bytes([unused])
            out.code += b"\xc9\xc3"  # leave; ret
        elif line != "}":
            raise Unsupported(
                line.partition(" = ")[2].split(" ")[0].split(".")[0] or line.split(" ")[0]
            )
    return bytes(out.code)


def answer(question: str) -> str:
    """What to say to one question."""
    if question.startswith("describe"):
        return DESCRIPTION
    head, _, clif = question.partition("\n\n")
    options = dict(line.split(" ")[1:] for line in head.splitlines() if line.startswith("option "))
    if clif.count("function ") > 1:
        return "unsupported\nseveral functions\n"
    try:
        code = compile_function(clif, options)
    except Unsupported as reason:
        return f"unsupported\n{reason}\n"
    return f"ok\ncode {code.hex()}\n"


def read(source: BinaryIO, count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:  # nobody asks any more
        sys.exit(0)
    return data


def main() -> None:
    """Frames: the length in four bytes, little-endian, and so many bytes of UTF-8."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while True:
        (length,) = struct.unpack("<I", read(source, 4))
        said = answer(read(source, length).decode()).encode()
        sink.write(struct.pack("<I", len(said)) + said)
        sink.flush()


if __name__ == "__main__":
    main()
