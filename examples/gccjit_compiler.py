#!/usr/bin/env python3
"""GCC by libgccjit, as a server of the process protocol (docs/process-protocol.md): a real compiler in a small file.

It is here to be copied from: nothing of it depends on the fuzzer. It needs libgccjit (Debian: libgccjit0), the
assembler that GCC calls, and objcopy. Values are variables, which makes the parameters of blocks easy. ::

    clifhanger fuzz --target "process:python3 examples/gccjit_compiler.py" -n 500
"""

import ctypes
import os
import re
import struct
import subprocess
import sys
import tempfile

LIBRARY = ctypes.CDLL(os.environ.get("LIBGCCJIT", "libgccjit.so.0"))
DESCRIPTION = """ok
name gccjit
version 12
isa x86_64
option opt_level 2 0 1 3
level none opt_level=0
level speed opt_level=2
only iconst iadd isub imul band bor bxor ineg bnot icmp uextend sextend ireduce jump brif return
results 1
"""
# The numbers are those of libgccjit.h's enumerations.
UNSIGNED = {"i8": 5, "i16": 7, "i32": 9, "i64": 11}
BINARY = {"iadd": 0, "isub": 1, "imul": 2, "band": 5, "bxor": 6, "bor": 7}
UNARY = {"ineg": 0, "bnot": 1}
CONDITIONS = {"eq": 0, "ne": 1, "lt": 2, "le": 3, "gt": 4, "ge": 5}
EXPORTED, OBJECT_FILE = 0, 1


class Unsupported(Exception):
    """What this compiler does not do: the fuzzer counts it, and it is no failure."""


def gcc(name, *args):
    """A function of the library. All that it gives are pointers."""
    function = getattr(LIBRARY, f"gcc_jit_{name}")
    function.restype = ctypes.c_void_p
    return ctypes.c_void_p(function(*[a.encode() if isinstance(a, str) else a for a in args]))


class Compiler:
    """Compiles one function, once."""

    def __init__(self, text, level):
        self.lines = [line.partition(";")[0].strip() for line in text.strip().splitlines()]
        self.context = context = gcc("context_acquire")
        gcc("context_set_int_option", context, 0, level)
        gcc("context_add_command_line_option", context, "-fno-asynchronous-unwind-tables")
        self.types = {name: gcc("context_get_type", context, n) for name, n in UNSIGNED.items()}
        self.signed = {
            name: gcc("context_get_type", context, n - 1) for name, n in UNSIGNED.items()
        }
        self.values, self.kinds = {}, {}

    def compile(self):
        result = re.search(r"-> (i\d+) *\{$", self.lines[0])
        self.params, bodies = {}, {}
        for line in filter(None, self.lines[1:-1]):
            if line.startswith("block"):
                name = re.match(r"block\d+", line)[0]
                self.params[name] = re.findall(r"v(\d+): (\w+)", line)
                body = bodies[name] = []
            else:
                body.append(line)
        if result is None or any(t not in UNSIGNED for ps in self.params.values() for _, t in ps):
            raise Unsupported(f"signature {self.lines[0]}")
        entry, *_ = self.params.values()
        given = [
            gcc("context_new_param", self.context, None, self.types[t], f"p{v}") for v, t in entry
        ]
        self.function = gcc("context_new_function", self.context, None, EXPORTED, self.types[result[1]],
                            "f", len(given), (ctypes.c_void_p * max(1, len(given)))(*given), 0)  # fmt: skip
        order = list(bodies)[:1]
        for name in (
            order
        ):  # a block comes behind one that branches to it, and so a use behind what it uses
            order += sorted(set(re.findall(r"block\d+", bodies[name][-1])) - set(order))
        self.blocks = {name: gcc("function_new_block", self.function, name) for name in order}
        for value, type_ in [each for params in self.params.values() for each in params]:
            self.variable(value, type_)
        for name in order:
            self.here = self.blocks[name]
            while given:  # in the first block
                self.assign(entry[-len(given)][0], gcc("param_as_rvalue", given.pop(0)))
            for line in bodies[name]:
                self.instruction(line)
        with tempfile.TemporaryDirectory() as folder:
            gcc("context_compile_to_file", self.context, OBJECT_FILE, f"{folder}/f.o")
            gcc("context_release", self.context)
            subprocess.run(
                ["objcopy", "-O", "binary", "-j", ".text", "f.o", "f"], check=True, cwd=folder
            )
            with open(f"{folder}/f", "rb") as file:
                return file.read()

    def variable(self, value, type_):
        self.kinds[value] = type_
        self.values[value] = gcc(
            "function_new_local", self.function, None, self.types[type_], f"v{value}"
        )

    def get(self, value, types=None):
        number = gcc("lvalue_as_rvalue", self.values[value])
        return number if types is None else self.cast(number, types[self.kinds[value]])

    def cast(self, number, type_):
        return gcc("context_new_cast", self.context, None, number, type_)

    def assign(self, value, number):
        gcc("block_add_assignment", self.here, None, self.values[value], number)

    def edge(self, name, args):
        """A block that hands arguments over, all at once, and goes on to another."""
        before, self.here = self.here, gcc("function_new_block", self.function, None)
        params = [value for value, _ in self.params[name]]
        for param, arg in zip(params, re.findall(r"v(\d+)", args), strict=True):
            self.variable(f"{param}_", self.kinds[param])
            self.assign(f"{param}_", self.get(arg))
        for param in params:
            self.assign(param, self.get(f"{param}_"))
        gcc("block_end_with_jump", self.here, None, self.blocks[name])
        made, self.here = self.here, before
        return made

    def instruction(self, line):
        value, name, suffix, rest = re.fullmatch(
            r"(?:v(\d+) = )?(\w+)(?:\.(\w+))? ?(.*)", line
        ).groups()
        args, context = re.findall(r"\bv(\d+)", rest), self.context
        edges = [self.edge(*each) for each in re.findall(r"(block\d+)(?:\(([^)]*)\))?", rest)]
        if name == "jump":
            return gcc("block_end_with_jump", self.here, None, edges[0])
        if name == "brif":
            zero = gcc("context_zero", context, self.types[self.kinds[args[0]]])
            held = gcc(
                "context_new_comparison", context, None, CONDITIONS["ne"], self.get(args[0]), zero
            )
            return gcc("block_end_with_conditional", self.here, None, held, *edges)
        if name == "return":
            return gcc("block_end_with_return", self.here, None, self.get(args[0]))
        self.variable(value, "i8" if name == "icmp" else suffix or self.kinds[args[0]])
        to = self.types[self.kinds[value]]
        if name == "iconst":
            bits = ctypes.c_long(int(rest.replace("_", ""), 0))
            number = gcc("context_new_rvalue_from_long", context, to, bits)
        elif name in BINARY:
            number = gcc(
                "context_new_binary_op", context, None, BINARY[name], to, *map(self.get, args)
            )
        elif name in UNARY:
            number = gcc("context_new_unary_op", context, None, UNARY[name], to, self.get(args[0]))
        elif name == "icmp":
            types = self.signed if rest[0] == "s" else self.types
            operands, condition = (
                [self.get(arg, types) for arg in args],
                CONDITIONS[rest.split()[0][-2:]],
            )
            number = self.cast(
                gcc("context_new_comparison", context, None, condition, *operands), to
            )
        elif name in ("uextend", "sextend", "ireduce"):
            number = self.cast(
                self.get(args[0], self.signed if name == "sextend" else self.types), to
            )
        else:
            raise Unsupported(name)
        return self.assign(value, number)


def answer(question):
    head, _, clif = question.partition("\n\n")
    options = dict(line.split()[1:] for line in head.splitlines() if line.startswith("option "))
    try:
        return f"ok\ncode {Compiler(clif, int(options.get('opt_level', 2))).compile().hex()}\n"
    except Unsupported as reason:
        return f"unsupported\n{reason}\n"


if __name__ == "__main__":
    while header := sys.stdin.buffer.read(4):
        question = sys.stdin.buffer.read(*struct.unpack("<I", header)).decode()
        said = (DESCRIPTION if question.startswith("describe") else answer(question)).encode()
        sys.stdout.buffer.write(struct.pack("<I", len(said)) + said)
        sys.stdout.buffer.flush()
