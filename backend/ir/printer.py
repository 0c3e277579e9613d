"""Functions to canonical CLIF text: one handler a word of a shape's syntax.

Canonical: declarations in the order of their kinds and numbers; a type suffix where nothing but it
tells T, and where the operand that shows T is defined in another block; integers, offsets and floats
as :mod:`backend.ir.literals` prints them. Parsing what is printed here gives the same function, and
printing that gives the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from backend.ir import opcodes
from backend.ir.declarations import DECLARATIONS, print_signature
from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from backend.ir.literals import print_float, print_hex_bytes, print_int, print_offset
from backend.ir.memory_flags import print_flags
from backend.ir.parser import Anchor, syntax_words

INDENT: Final = "    "


def print_function(function: Function) -> str:
    """Canonical text, with a newline at its end."""
    return "".join(f"{line}\n" for line, _ in function_lines(function))


def print_functions(functions: Iterable[Function]) -> str:
    """The text of several functions, an empty line between two."""
    return "\n".join(map(print_function, functions))


def function_lines(function: Function) -> Iterator[tuple[str, Anchor | None]]:
    """The lines of the text, each with what it shows; blank lines show None."""
    yield f"function {function.name}{print_signature(function.signature)} {{", "open"
    declared = False
    for prefix, declaration in DECLARATIONS.items():
        for number, item in sorted(getattr(function, declaration.table).items()):
            declared = True
            yield f"{INDENT}{prefix}{number} = {declaration.print(item)}", (prefix, number)
    if function.stack_limit is not None:
        declared = True
        yield f"{INDENT}stack_limit = gv{function.stack_limit}", ("stack_limit", 0)
    home = _defining_blocks(function)
    types = function.value_types
    for position, block in enumerate(function.blocks):
        if position or declared:
            yield "", None
        params = ", ".join(f"v{v}: {types[v]}" for v in block.params)
        yield f"block{block.id}{f'({params})' if params else ''}{' cold' * block.cold}:", block
        for inst in block.insts:
            yield INDENT + print_inst(inst, function, block, home), inst
    yield "}", "close"


def _defining_blocks(function: Function) -> dict[Value, Block]:
    home: dict[Value, Block] = {}
    for block in function.blocks:
        for value in block.params:
            home[value] = block
        for inst in block.insts:
            for value in inst.results:
                home[value] = block
    return home


def print_inst(inst: Inst, function: Function, block: Block, home: dict[Value, Block]) -> str:
    """One instruction in ``block``. ``home``: the block that defines each value."""
    op = inst.op
    parts: list[str] = []
    annotation = function.annotations.get(inst) if function.annotations else None
    if annotation is not None and annotation.tags:
        parts.append(f"{annotation.tags} ")
    if inst.srcloc is not None:
        parts.append(f"@{inst.srcloc:04x} ")
    if inst.results:
        parts.append(", ".join([f"v{v}" for v in inst.results]) + " = ")
    parts.append(op.name)
    if op.polymorphic and (op.control is None or home.get(inst.args[op.control]) is not block):
        parts.append(f".{inst.type}")
    elif op.operand_suffix and home.get(inst.args[0]) is not block:
        parts.append(f".{function.value_types[inst.args[0]]}")
    operands = "".join([handler(inst, i) for handler, i in _PROGRAMS[op.shape]])
    if operands:
        parts.append(f" {operands.rstrip()}")
    if annotation is not None and annotation.stack_map:
        parts.append(f", stack_map={annotation.stack_map}")
    return "".join(parts)


# -- the words of a shape --------------------------------------------------------------------------------
#
# A handler takes the instruction and, for `v`, the position of the operand.


def _values(values: tuple[Value, ...]) -> str:
    return ", ".join([f"v{v}" for v in values])


def _block_arg(arg: int) -> str:
    if arg >= 0:
        return f"v{arg}"
    return f"exn{(-2 - arg) // 2}" if arg % 2 == 0 else f"ret{(-1 - arg) // 2}"


def _call(call: BlockCall) -> str:
    args = ", ".join([_block_arg(a) for a in call.args])
    return f"block{call.block}({args})" if args else f"block{call.block}"


def _trailing_args(inst: Inst, first: int) -> str:
    return f"({_values(inst.args[first:])})"


def _imm(inst: Inst, _: int) -> str:
    narrow = inst.op.shape == "int_const" and inst.type is not None and inst.type.bits <= 64
    return print_int(inst.imm, inst.type.bits if narrow and inst.type is not None else 64)


def _float(inst: Inst, _: int) -> str:
    if inst.ref >= 0:
        return f"const{inst.ref}"
    result = opcodes.resolve(inst.op.results[0], None)
    assert result is not None  # every row of this shape has one concrete result
    return print_float(inst.imm, result.bits)


def _data(inst: Inst, _: int) -> str:
    if not isinstance(inst.data, bytes):
        return f"const{inst.ref}"
    return print_hex_bytes(inst.data)


def _handlers(inst: Inst, _: int) -> str:
    items: list[str] = []
    for handler in inst.data if isinstance(inst.data, tuple) else ():
        if handler.target is None:
            items.append(f"context v{handler.value}")
        else:
            name = f"tag{handler.tag}" if handler.kind == "tag" else handler.kind
            items.append(f"{name}: {_call(handler.target)}")
    return f"[ {', '.join(items)} ]" if items else "[]"


_Handler = Callable[[Inst, int], str]

_WORDS: Final[dict[str, _Handler]] = {
    ",": lambda inst, _: ", ",
    "v": lambda inst, i: f"v{inst.args[i]} ",
    "v*": lambda inst, _: _values(inst.args),
    "values": lambda inst, _: _values(inst.args),
    "args": _trailing_args,
    "imm": _imm,
    "float": _float,
    "vconst": _data,
    "mask": _data,
    "lane": lambda inst, _: str(inst.imm),
    "offset": lambda inst, _: print_offset(inst.imm),
    "flags": lambda inst, _: print_flags(inst.flags),
    "intcc": lambda inst, _: f"{inst.keyword} ",
    "floatcc": lambda inst, _: f"{inst.keyword} ",
    "rmw": lambda inst, _: f"{inst.keyword} ",
    "code": lambda inst, _: inst.keyword,
    "ss": lambda inst, _: f"ss{inst.ref}",
    "dss": lambda inst, _: f"dss{inst.ref}",
    "fn": lambda inst, _: f"fn{inst.ref}",
    "gv": lambda inst, _: f"gv{inst.ref}",
    "sig": lambda inst, _: f"sig{inst.sig}",
    "block": lambda inst, i: _call(inst.targets[i]),
    "table": lambda inst, _: f"[{', '.join(map(_call, inst.targets[1:]))}]",
    "handlers": _handlers,
}


def _program(shape: str) -> tuple[tuple[_Handler, int], ...]:
    """The handlers of a shape, each with the index of its operand or target where it needs one."""
    steps: list[tuple[_Handler, int]] = []
    operand = target = 0
    words = syntax_words(shape)
    for position, word in enumerate(words):
        index = 0
        if word == "v":
            index, operand = operand, operand + 1
        elif word == "block":
            index, target = target, target + 1
        elif word == "args":
            index = operand
        handler = _WORDS[word]
        # a value is followed directly by what belongs to it: `v0+8`, `v0(v1)`, `v0, `
        if (
            word == "v"
            and position + 1 < len(words)
            and words[position + 1] in (",", "offset", "args")
        ):
            handler = _tight_value
        steps.append((handler, index))
    return tuple(steps)


def _tight_value(inst: Inst, index: int) -> str:
    return f"v{inst.args[index]}"


_PROGRAMS: Final = {shape: _program(shape) for shape in opcodes.SHAPES}
