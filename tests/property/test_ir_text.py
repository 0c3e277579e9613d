"""Text and functions are inverse: parse(print(f)) is f, print(parse(t)) is a fixpoint, over all shapes.

The strategy draws a row of the opcode table and types for it, makes operands of those types where they
are wanted, and so reaches every opcode whatever its shape; what is drawn is verified too.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import ParseError
from backend.ir import literals, opcodes
from backend.ir.builder import FunctionBuilder
from backend.ir.entities import (
    AbiParam,
    BlockCall,
    Function,
    FunctionRef,
    Handler,
    Inst,
    MemFlags,
    Signature,
    exception_arg,
    return_arg,
)
from backend.ir.filetest import parse_file, print_file
from backend.ir.opcodes import OPCODES, Opcode, resolve, second_types
from backend.ir.parser import parse_function
from backend.ir.printer import print_function
from backend.ir.types import FLOATS, I8, I32, I64, INTS, SCALARS, Type, type_named, vector
from backend.ir.verifier import verify, verify_all

_SKIPPED = {
    # need a stack of their own declarations, drawn in tests of the parser
    "return_call", "return_call_indirect", "dynamic_stack_addr", "dynamic_stack_load",
    "dynamic_stack_store", "get_exception_handler_address",
}  # fmt: skip
_BODY = [op for op in OPCODES if not op.terminator and op.name not in _SKIPPED]
_ENDS = [op for op in OPCODES if op.terminator and op.name not in _SKIPPED]
_I8X16 = type_named("i8x16")


def flags_of(op: Opcode) -> st.SearchStrategy[MemFlags]:
    if op.shape == "flagged_unary":
        return st.sampled_from([MemFlags(endian="little"), MemFlags(endian="big")])
    readonly = st.just(False) if op.writes else st.booleans()
    return st.builds(
        MemFlags,
        trap=st.sampled_from([None, "heap_oob", "user1", "stk_ovf"]),
        aligned=st.booleans(),
        readonly=readonly,
        can_move=st.booleans(),
        endian=st.sampled_from(["", "little", "big"]),
        region=st.sampled_from([None, 0]),
        alias=st.sampled_from(["", "heap", "table", "vmctx"]),
        checked=st.booleans(),
    )


class Drawer:
    """Draws one function into a builder."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw
        self.b = FunctionBuilder("%f", [I64, I32], [I32])
        f = self.b.function
        f.stack_slots.update(
            {0: parse_function("function %f() {\nss0 = explicit_slot 9\n}").stack_slots[0]}
        )
        f.globals[0] = "vmctx"
        f.regions[0] = '0 "heap"'
        f.signatures[0] = Signature((AbiParam(I64),), (AbiParam(I32), AbiParam(I8, "sext")), "tail")
        f.functions[0] = FunctionRef("%g", 0)
        f.functions[1] = FunctionRef("u0:3", Signature((AbiParam(I32),)), colocated=True)
        f.constants[0] = bytes(range(16))
        self.pool: dict[Type, list[int]] = {I64: [0], I32: [1]}

    def value(self, type_: Type) -> int:
        """A value of a type: one that is there, or a new one."""
        known = self.pool.get(type_, [])
        if not known or self.draw(st.booleans()):
            return self.make(type_)
        return known[self.draw(st.integers(0, len(known) - 1))]

    def make(self, type_: Type) -> int:
        b = self.b
        if type_.is_int and type_.bits <= 64:
            made = b.iconst(type_, self.draw(st.integers(0, type_.mask)))
        elif type_.is_int:
            made = b.ins("uextend", self.value(I64), type=type_)
        elif type_.is_float:
            bits = self.draw(st.integers(0, type_.mask))
            made = b.ins(f"{type_}const", type=type_, imm=bits)
        else:
            data = self.draw(st.binary(min_size=type_.bytes, max_size=type_.bytes))
            (made,) = b.emit("vconst", type=type_, data=data).results
        self.pool.setdefault(type_, []).append(made)
        return made

    def types(self, op: Opcode) -> tuple[Type | None, Type | None]:
        control = self.draw(st.sampled_from(op.over)) if op.over else None
        second: Type | None = None
        if "S" in op.operands:
            options = op.second if control is None else second_types(op, control)
            if not options:
                return None, None
            second = self.draw(st.sampled_from(options))
        return control, second

    def instruction(self, op: Opcode) -> None:
        control, second = self.types(op)
        try:
            wanted = [resolve(term, control, second) for term in op.operands if term != "..."]
            results = [resolve(term, control) for term in op.results if term != "..."]
        except ValueError:
            return
        if None in wanted or (op.polymorphic and control is None):
            return
        args = [self.value(t) for t in wanted if t is not None]
        inst = Inst(op, control if op.polymorphic else (results[0] if len(results) == 1 else None))
        words = set(op.syntax.replace(",", " ").split())
        if "fn" in words and "args" in words:
            inst.ref = self.draw(st.sampled_from([0, 1]))
            args += [self.value(I64 if inst.ref == 0 else I32)]
            results = [I32, I8] if inst.ref == 0 else []
        elif "args" in words:
            args += [self.value(I64)]
            results = [I32, I8]
        inst.args = tuple(args)
        self.immediates(op, inst, words, wanted)
        inst.results = tuple([self.b.function.new_value(t) for t in results if t is not None])
        self.b.current.insts.append(inst)
        for value, type_ in zip(inst.results, results, strict=True):
            if type_ is not None:
                self.pool.setdefault(type_, []).append(value)

    def immediates(
        self, op: Opcode, inst: Inst, words: set[str], wanted: list[Type | None]
    ) -> None:
        draw = self.draw
        if "imm" in words:
            mask = inst.type.mask if op.shape == "int_const" and inst.type else I64.mask
            inst.imm = draw(st.integers(0, mask))
        if "offset" in words:
            inst.imm = draw(st.integers(-(1 << 31), (1 << 31) - 1))
        if "lane" in words and wanted and wanted[0] is not None:
            inst.imm = draw(st.integers(0, wanted[0].lanes - 1))
        if "float" in words and inst.type is not None:
            inst.imm = draw(st.integers(0, inst.type.mask))
        if "vconst" in words and inst.type is not None:
            if inst.type.bytes == 16 and draw(st.booleans()):
                inst.ref = 0
            else:
                inst.data = draw(st.binary(min_size=inst.type.bytes, max_size=inst.type.bytes))
        if "mask" in words:
            inst.data = bytes(draw(st.lists(st.integers(0, 31), min_size=16, max_size=16)))
        if "flags" in words:
            inst.flags = draw(flags_of(op))
        for word, choices in (("intcc", opcodes.INT_CC), ("floatcc", opcodes.FLOAT_CC),
                              ("rmw", opcodes.RMW_OPS), ("code", opcodes.TRAP_CODES)):  # fmt: skip
            if word in words:
                inst.keyword = draw(st.sampled_from(choices))
        if words & {"ss", "gv"} or op.shape == "func":
            inst.ref = 0
        if "sig" in words:
            inst.sig = 0
        inst.srcloc = draw(st.none() | st.integers(0, 0xFFFF_FFFF))

    def edge(self) -> BlockCall:
        """To a fresh block that takes some values of this one."""
        types = self.draw(st.lists(st.sampled_from([I32, I64, I8, _I8X16]), max_size=3))
        block = self.b.block(*types, cold=self.draw(st.booleans()))
        return BlockCall(block.id, tuple(self.value(t) for t in types))

    def end(self, op: Opcode) -> None:
        """End the current block, and all blocks that it made."""
        b, before = self.b, len(self.b.function.blocks)
        inst = Inst(op)
        if op.name == "return":
            inst.args = (self.value(I32),)
        elif op.shape == "trap":
            inst.keyword = self.draw(st.sampled_from(opcodes.TRAP_CODES))
        elif op.shape in ("try_call", "try_call_indirect"):
            inst.args = (self.value(I64),) * (1 + (op.shape == "try_call_indirect"))
            inst.ref, inst.sig = (0, 0) if op.shape == "try_call" else (-1, 0)
            normal, handler = b.block(I8, I32), b.block(I64, I64)
            inst.targets = (BlockCall(normal.id, (return_arg(1), return_arg(0))),)
            call = BlockCall(handler.id, (exception_arg(1), self.value(I64)))
            inst.data = (Handler("tag", self.draw(st.integers(0, 99)), call, -1),
                         Handler("context", -1, None, self.value(I32)),
                         Handler("default", -1, call, -1))  # fmt: skip
        else:
            if op.operands:
                wanted = resolve(op.operands[0], None, self.draw(st.sampled_from(INTS)))
                assert wanted is not None
                inst.args = (self.value(wanted),)
            count = {"jump": 1, "brif": 2}.get(op.name) or self.draw(st.integers(1, 4))
            inst.targets = tuple([self.edge() for _ in range(count)])
        b.current.insts.append(inst)
        for block in b.function.blocks[before:]:
            block.insts.append(Inst(opcodes.opcode_named("trap"), keyword="user1"))
        if len(b.function.blocks) > before:
            last = b.function.blocks[-1]
            last.insts.clear()
            b.switch_to(last)

    def function(self) -> Function:
        draw, b = self.draw, self.b
        for _ in range(draw(st.integers(0, 3))):
            for op in draw(st.lists(st.sampled_from(_BODY), max_size=8)):
                self.instruction(op)
            self.end(draw(st.sampled_from(_ENDS)))
            if b.current.insts and b.current.insts[-1].op.terminator:
                break
        else:
            self.end(opcodes.opcode_named("return"))
        blocks = b.function.blocks
        b.function.blocks = [blocks[0], *draw(st.permutations(blocks[1:]))]
        return b.function


def parts(function: Function) -> object:
    """All that a function is, in comparable form."""
    tables = ("stack_slots", "signatures", "functions", "constants", "globals", "dynamic_types",
              "dynamic_slots", "regions")  # fmt: skip
    return (
        function.name, function.signature, function.stack_limit, function.value_types,
        [getattr(function, table) for table in tables],
        [(b.id, b.cold, b.params, [
            (i.op, i.type, i.args, i.results, i.imm, i.keyword, i.flags, i.ref, i.sig, i.targets,
             i.data, i.srcloc) for i in b.insts]) for b in function.blocks],
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_printing_and_parsing_are_inverse(data: st.DataObject) -> None:
    function = Drawer(data).function()
    verify(function)
    text = print_function(function)
    parsed = parse_function(text)
    assert parts(parsed) == parts(function)
    assert print_function(parsed) == text
    assert parts(function.copy()) == parts(function)
    verify(parsed)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_text_parses_or_says_where(data: st.DataObject) -> None:
    text = "test run\n" + print_function(Drawer(data).function()) + "; run: %f(1, 2) == 3\n"
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 5))
    piece = data.draw(
        st.sampled_from(["", "v0", "(", "[", "\0", "é", "-", "0x", ";", '"', "i32", "\n"])
    )
    damaged = text[:at] + piece + text[at + length :]
    places: list[tuple[int, int]] = []
    try:
        file = parse_file(damaged, "x")
    except ParseError as error:
        places.append((error.line, error.column))
    else:
        canonical = print_file(file)
        assert print_file(parse_file(canonical)) == canonical
        for entry in file.functions:
            places += [(error.line, error.column) for error in verify_all(entry.function)]
    lines = damaged.count("\n") + 1
    assert all(1 <= line <= lines and column >= 1 for line, column in places)


@given(st.sampled_from(FLOATS), st.data())
def test_floats_round_trip(type_: Type, data: st.DataObject) -> None:
    bits = data.draw(st.integers(0, type_.mask))
    assert literals.parse_float(literals.print_float(bits, type_.bits), type_.bits) == bits


@given(st.sampled_from([t for t in SCALARS if t.is_int and t.bits <= 64]), st.data())
def test_integers_round_trip(type_: Type, data: st.DataObject) -> None:
    bits = data.draw(st.integers(0, type_.mask))
    assert literals.parse_int(literals.print_int(bits, type_.bits), 64) & type_.mask == bits


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_offsets_round_trip(offset: int) -> None:
    text = literals.print_offset(offset)
    assert (literals.parse_offset(text) if text else 0) == offset


@given(
    st.sampled_from([vector(lane, n) for lane in SCALARS for n in (2, 4) if lane.bits * n <= 128]),
    st.data(),
)
def test_vector_constants_round_trip(type_: Type, data: st.DataObject) -> None:
    content = data.draw(st.binary(min_size=type_.bytes, max_size=type_.bytes))
    assert literals.parse_hex_bytes(literals.print_hex_bytes(content), type_.bytes) == content


def test_every_opcode_is_drawn_or_named_as_skipped() -> None:
    assert len(_BODY) + len(_ENDS) + len(_SKIPPED) == len(OPCODES)
