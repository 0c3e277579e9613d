"""CLIF text to functions: one handler a word of a shape's syntax, no code for any opcode.

The grammar is Cranelift's, of 0.120 and of today together. An opcode that nothing here can execute is
no error; one that is not in the table is. Values and blocks may be used before they are written:
dominance is about the control flow, blocks stand in any order. So types are inferred after the whole
function is read, and so are aliases resolved. Parsing is linear in the text and knows no recursion.

What is *not* checked here is the verifier's: types of operands, dominance, terminators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backend.ir import opcodes
from backend.ir.cursor import Cursor
from backend.ir.declarations import DECLARATIONS, parse_signature
from backend.ir.entities import (
    Annotation,
    Block,
    BlockCall,
    Function,
    Handler,
    Inst,
    Value,
    exception_arg,
    return_arg,
)
from backend.ir.lexer import SRCLOC, WORD, Tokens
from backend.ir.memory_flags import parse_flags
from backend.ir.opcodes import Opcode, find_opcode
from backend.ir.resolution import Resolution
from backend.ir.rules import KEYWORDS
from backend.ir.types import I8, I64, I128, Type, type_named, vector

Anchor = Inst | Block | tuple[str, int] | str
"""What a comment stands by: an instruction, a block's header, a declaration (``("ss", 0)``), the
function's first line (``"open"``) or its last (``"close"``)."""


class Parsed:
    """A function with the tokens its parts came from: ``spans`` are (first, last, anchor) in order.

    The anchor of a line that leaves no trace (an alias) is None.
    """

    __slots__ = ("first", "function", "last", "spans")

    def __init__(self, function: Function, first: int) -> None:
        self.function = function
        self.first = first
        self.last = first
        self.spans: list[tuple[int, int, Anchor | None]] = []


def parse_function(text: str, path: str = "") -> Function:
    """The one function in a text; ParseError if there is none, or more than it."""
    parser = FunctionParser(Tokens(text, path))
    function = parser.parse().function
    if parser.text:
        parser.expected("the end of the function's text")
    return function


class FunctionParser(Cursor):
    """Reads functions from tokens, one each call of :meth:`parse`."""

    __slots__ = ("_aliases", "_args", "_defined", "_starts", "function", "inst", "parsed")

    def parse(self) -> Parsed:
        """The function that begins here."""
        self.dynamic_types = {}
        self._aliases: dict[Value, tuple[Value, int]] = {}
        self._defined: set[Value] = set()
        self._starts: list[int] = []
        first = self.at
        self.take("function")
        name_at = self.at
        function = self.function = Function(self.external_name())
        if function.name.startswith("userextname"):
            self.fail("a function's name is %name or uN:N", name_at)
        self.parsed = Parsed(function, first)
        function.places = {function: self.place(first)}
        function.signature = parse_signature(self)
        self.take("{")
        self._span(first, "open")
        self._declarations()
        while self.text != "}":
            self._block()
        last = self.at
        self.take("}")
        self.parsed.last = last
        self.parsed.spans.append((last, last, "close"))
        Resolution(self, function, self._aliases, self._defined, self._starts).run()
        return self.parsed

    def place(self, at: int) -> tuple[int, int]:
        return self.tokens.place(self.tokens.offsets[at])

    def _span(self, first: int, anchor: Anchor | None) -> None:
        self.parsed.spans.append((first, self.at - 1, anchor))

    # -- the preamble --------------------------------------------------------------------------------------

    def _declarations(self) -> None:
        while self.text != "}" and not self.at_entity("block"):
            first = self.at
            if self.accept("stack_limit"):
                self.take("=")
                self.function.stack_limit = self.entity("gv")
                self._span(first, ("stack_limit", 0))
                continue
            prefix = self.text.rstrip("0123456789")
            declare = DECLARATIONS.get(prefix)
            if declare is None:
                self.expected("a declaration, a block or '}'")
            number = self.entity(prefix)
            table = getattr(self.function, declare.table)
            if number in table:
                self.fail(f"{prefix}{number} is declared twice", first)
            self.take("=")
            table[number] = declare.parse(self)
            if prefix == "dt":
                self._declare_dynamic_type(number)
            self._span(first, (prefix, number))

    def _declare_dynamic_type(self, number: int) -> None:
        base, _, _ = self.function.dynamic_types[number].partition("*")
        from_base = type_named(base)
        self.dynamic_types[number] = vector(from_base.lane, from_base.lanes, dynamic=True)

    # -- blocks -------------------------------------------------------------------------------------------

    def _block(self) -> None:
        function, first = self.function, self.at
        block = Block(self.entity("block"))
        if self.accept("("):
            while not self.accept(")"):
                value = self._define()
                self.take(":")
                function.value_types[value] = self.type()
                block.params.append(value)
                if self.text != ")":
                    self.take(",")
        block.cold = self.accept("cold")
        self.take(":")
        function.blocks.append(block)
        assert function.places is not None
        function.places[block] = self.place(first)
        self._span(first, block)
        while self.text != "}" and not self.at_entity("block"):
            self._line(block)

    def _define(self) -> Value:
        at = self.at
        value = self.entity("v")
        if value in self._defined:
            self.fail(f"v{value} is defined twice", at)
        self._defined.add(value)
        return value

    def _line(self, block: Block) -> None:
        function, first = self.function, self.at
        tags = self._tags() if self.text == "<" else ""
        srcloc = None
        if self.tokens.kinds[self.at] == SRCLOC:
            digits = self.text[1:]
            if len(digits) > 8:
                self.fail("a source location has at most 8 hex digits")
            srcloc = int(digits, 16)
            self.next()
            tags = tags or (self._tags() if self.text == "<" else "")
        results: list[Value] = []
        if self.at_entity("v"):
            if self.peek() == "->":
                self._alias(first)
                return
            results.append(self._define())
            while self.accept(","):
                results.append(self._define())
            self.take("=")
        op, type_ = self._opcode()
        inst = self.inst = Inst(op, type_, results=tuple(results), srcloc=srcloc)
        self._args: list[Value] = []
        for handler in _PROGRAMS[op.shape]:
            handler(self)
        inst.args = tuple(self._args)
        stack_map = ""
        if self.text == "," and self.peek() == "stack_map":
            stack_map = self._stack_map()
        if tags or stack_map:
            function.annotations[inst] = Annotation(tags, stack_map)
        block.insts.append(inst)
        assert function.places is not None
        function.places[inst] = self.place(first)
        self._starts.append(first)
        self._span(first, inst)

    def _alias(self, first: int) -> None:
        value = self._define()
        self.take("->")
        self._aliases[value] = (self.entity("v"), first)
        self._span(first, None)

    def _opcode(self) -> tuple[Opcode, Type | None]:
        if self.tokens.kinds[self.at] != WORD:
            self.expected("an instruction")
        op = find_opcode(self.text)
        if op is None:
            self.fail(f"unknown opcode {self.text[:40]}")
        self.next()
        if self.text != ".":
            if op.suffix_required and len(op.over) == 1:
                return op, op.over[0]
            if op.suffix_required:
                self.fail(f"{op.name} needs a type suffix: {op.name}.{op.over[0]}")
            return op, _fixed_type(op)
        suffix_at = self.at
        self.next()
        type_ = self.type()
        if op.polymorphic:
            return op, type_
        if not op.operand_suffix:
            self.fail(f"{op.name} takes no type suffix", suffix_at)
        return op, _fixed_type(op)  # Cranelift's T of these is an operand's type: nothing to keep

    def _tags(self) -> str:
        """``<0, ss1, ...>``: debug tags."""
        self.take("<")
        tags: list[str] = []
        while self.text != ">":
            if self.at_entity("ss"):
                tags.append(f"ss{self.entity('ss')}")
            elif self.at_entity("block"):
                tags.append(f"block{self.entity('block')}")
            else:
                tags.append(str(self.unsigned(64)))
            if self.text != ">":
                self.take(",")
        self.take(">")
        return f"<{', '.join(tags)}>"

    def _stack_map(self) -> str:
        """``, stack_map=[i32 @ ss0+0, ...]``"""
        self.take(",")
        self.take("stack_map")
        self.take("=")
        self.take("[")
        items: list[str] = []
        while self.text != "]":
            type_ = self.type()
            self.take("@")
            slot = self.entity("ss")
            items.append(f"{type_} @ ss{slot}+{self.offset()}")
            if self.text != "]":
                self.take(",")
        self.take("]")
        return f"[{', '.join(items)}]"

    # -- the words of a shape ------------------------------------------------------------------------------

    def word_comma(self) -> None:
        self.take(",")

    def word_v(self) -> None:
        self._args.append(self.entity("v"))

    def word_all_values(self) -> None:
        for position in range(len(self.inst.op.operands)):
            if position:
                self.take(",")
            self._args.append(self.entity("v"))

    def word_values(self) -> None:
        if self.at_entity("v"):
            self._args.append(self.entity("v"))
            while self.text == "," and self.peek() != "stack_map":
                self.next()
                self._args.append(self.entity("v"))

    def word_args(self) -> None:
        self.take("(")
        self._args += self._block_args(for_edges=False)

    def word_imm(self) -> None:
        type_ = self.inst.type if self.inst.op.shape == "int_const" else I64
        narrow = type_ is not None and type_.is_int and type_ is not I128
        self.inst.imm = self.integer(type_.bits if type_ is not None and narrow else 64)

    def word_float(self) -> None:
        if self.at_entity("const"):
            self.inst.ref = self.entity("const")
            return
        type_ = self.inst.type
        assert type_ is not None  # every row of this shape has one concrete result
        self.inst.imm = self.float_bits(type_.bits)

    def word_vconst(self) -> None:
        type_ = self.inst.type
        if self.at_entity("const"):
            self.inst.ref = self.entity("const")
        elif type_ is None or not type_.is_vector:
            self.fail(f"vconst of {type_}, which is no vector")
        else:
            self.inst.data = self.vector(type_)

    def word_lane(self) -> None:
        self.inst.imm = self.unsigned(8)

    def word_offset(self) -> None:
        self.inst.imm = self.offset()

    def word_mask(self) -> None:
        self.inst.data = self.vector(_I8X16)

    def word_flags(self) -> None:
        self.inst.flags = parse_flags(self)

    def word_ss(self) -> None:
        self.inst.ref = self.entity("ss")

    def word_dss(self) -> None:
        self.inst.ref = self.entity("dss")

    def word_fn(self) -> None:
        self.inst.ref = self.entity("fn")

    def word_gv(self) -> None:
        self.inst.ref = self.entity("gv")

    def word_sig(self) -> None:
        self.inst.sig = self.entity("sig")

    def word_block(self) -> None:
        self.inst.targets += (self._block_call(),)

    def word_table(self) -> None:
        self.take("[")
        calls: list[BlockCall] = []
        while self.text != "]":
            calls.append(self._block_call())
            if self.text != "]":
                self.take(",")
        self.take("]")
        self.inst.targets += tuple(calls)

    def word_handlers(self) -> None:
        self.take("[")
        handlers: list[Handler] = []
        while self.text != "]":
            if self.accept("context"):
                handlers.append(Handler("context", -1, None, self.entity("v")))
            elif self.accept("default"):
                self.take(":")
                handlers.append(Handler("default", -1, self._block_call(), -1))
            else:
                tag = self.entity("tag")
                self.take(":")
                handlers.append(Handler("tag", tag, self._block_call(), -1))
            if self.text != "]":
                self.take(",")
        self.take("]")
        self.inst.data = tuple(handlers)

    def _block_call(self) -> BlockCall:
        block = self.entity("block")
        if not self.accept("("):
            return BlockCall(block)
        edges = self.inst.op.shape in ("try_call", "try_call_indirect")
        return BlockCall(block, tuple(self._block_args(for_edges=edges)))

    def _block_args(self, *, for_edges: bool) -> list[Value]:
        """Values up to the closing parenthesis; ``retN`` and ``exnN`` too on a try_call's edges."""
        args: list[Value] = []
        while self.text != ")":
            if for_edges and self.at_entity("ret"):
                args.append(return_arg(self.entity("ret")))
            elif for_edges and self.at_entity("exn"):
                args.append(exception_arg(self.entity("exn")))
            else:
                args.append(self.entity("v"))
            if self.text != ")":
                self.take(",")
        self.take(")")
        return args


_I8X16: Final = vector(I8, 16)


def _fixed_type(op: Opcode) -> Type | None:
    """What ``Inst.type`` is if no T is known: the type of the only result, if that is concrete."""
    if op.polymorphic or len(op.results) != 1 or op.results[0] == "...":
        return None
    return opcodes.resolve(op.results[0], None)


_WORDS: Final[dict[str, Callable[[FunctionParser], None]]] = {
    ",": FunctionParser.word_comma,
    "v": FunctionParser.word_v,
    "v*": FunctionParser.word_all_values,
    "values": FunctionParser.word_values,
    "args": FunctionParser.word_args,
    "imm": FunctionParser.word_imm,
    "float": FunctionParser.word_float,
    "vconst": FunctionParser.word_vconst,
    "lane": FunctionParser.word_lane,
    "offset": FunctionParser.word_offset,
    "mask": FunctionParser.word_mask,
    "flags": FunctionParser.word_flags,
    "ss": FunctionParser.word_ss,
    "dss": FunctionParser.word_dss,
    "fn": FunctionParser.word_fn,
    "gv": FunctionParser.word_gv,
    "sig": FunctionParser.word_sig,
    "block": FunctionParser.word_block,
    "table": FunctionParser.word_table,
    "handlers": FunctionParser.word_handlers,
}


def _keyword_word(word: str, what: str) -> Callable[[FunctionParser], None]:
    allowed = KEYWORDS[word]

    def parse(self: FunctionParser) -> None:
        if self.text not in allowed:
            self.expected(what)
        self.inst.keyword = self.next()

    return parse


for _word, _what in (("intcc", "an integer condition"), ("floatcc", "a float condition"),
                     ("rmw", "an atomic operation"), ("code", "a trap code")):  # fmt: skip
    _WORDS[_word] = _keyword_word(_word, _what)


def syntax_words(shape: str) -> list[str]:
    """The words of a shape's syntax, commas as words of their own."""
    return opcodes.SHAPES[shape].replace(",", " ,").split()


#: shape -> handlers; a word of a syntax without a handler is a KeyError at import
_PROGRAMS: Final = {
    shape: tuple(_WORDS[w] for w in syntax_words(shape)) for shape in opcodes.SHAPES
}
