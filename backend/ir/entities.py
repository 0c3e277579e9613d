"""A CLIF function in memory: slotted mutable classes and ints, made to be built fast.

An SSA value is the int ``n`` of its name ``vN``; a block is named by the int of ``blockN``. Names
are kept as written, so numbers may be sparse. The order of ``Function.blocks`` is the layout,
the first block is the entry, and the last instruction of a block is its terminator.

Invariants are the verifier's (:mod:`backend.ir.verifier`); nothing here checks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from backend.ir.opcodes import Opcode
from backend.ir.types import Type

Value = int
"""An SSA value: the ``7`` of ``v7``."""


class MemFlags(NamedTuple):
    """What a load or store promises and where a fault leads.

    ``trap``: the trap code of a fault, or None for ``notrap``. ``endian``: "" (the target's),
    "little" or "big". ``alias``: 0.120's ``heap``, ``table`` or ``vmctx``, else "".
    """

    trap: str | None = "heap_oob"
    aligned: bool = False
    readonly: bool = False
    can_move: bool = False
    endian: str = ""
    region: int | None = None
    alias: str = ""
    checked: bool = False


NO_FLAGS = MemFlags()


class BlockCall:
    """A branch's target and the arguments it passes to the block's parameters.

    An argument is a value, or, on the edges of ``try_call``, ``return_arg(n)`` or
    ``exception_arg(n)``: negative ints that stand for ``retN`` and ``exnN``.
    """

    __slots__ = ("args", "block")

    def __init__(self, block: int, args: tuple[Value, ...] = ()) -> None:
        self.block = block
        self.args = args

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BlockCall) and self.block == other.block and self.args == other.args
        )

    def __hash__(self) -> int:
        return hash((self.block, self.args))

    def __repr__(self) -> str:
        return f"block{self.block}({', '.join(f'v{a}' for a in self.args)})"


def return_arg(n: int) -> int:
    """The block argument ``retN``."""
    return -1 - 2 * n


def exception_arg(n: int) -> int:
    """The block argument ``exnN``."""
    return -2 - 2 * n


class Handler(NamedTuple):
    """One item of a try_call's table: ``tagN: block``, ``default: block`` or ``context vN``."""

    kind: str
    tag: int
    target: BlockCall | None
    value: Value


class Inst:
    """One instruction.

    Which attributes mean something is said by ``op.syntax``:

    ``type``     the controlling type T, or the only result's type; None if the opcode has neither
    ``args``     operand values in textual order (callee address first for indirect calls); the
                 arguments of branches are in ``targets``
    ``imm``      ``imm``: an integer constant as unsigned bits of its type (64 bits for the ``_imm``
                 forms); ``float``: the bits; ``lane``: the lane index; ``offset``: signed bytes
    ``keyword``  ``intcc``/``floatcc``: the condition; ``rmw``: the operation; ``code``: the trap code
    ``flags``    memory flags
    ``ref``      number of the slot, function, signature, global or constant referred to
                 (for ``try_call``: the function); -1 where there is none
    ``sig``      the signature of ``call_indirect`` and of ``try_call``; -1 where there is none
    ``targets``  block calls: jump 1, brif 2 (then, else), br_table the default, then the table,
                 try_call the normal edge
    ``data``     ``mask``: 16 bytes; ``vconst``: little-endian bytes of the vector, or None with
                 ``ref`` a pool constant; ``handlers``: tuple[Handler, ...]
    ``srcloc``   source location, or None
    """

    __slots__ = ("args", "data", "flags", "imm", "keyword", "op", "ref", "results", "sig",
                 "srcloc", "targets", "type")  # fmt: skip

    def __init__(
        self,
        op: Opcode,
        type_: Type | None = None,
        args: tuple[Value, ...] = (),
        results: tuple[Value, ...] = (),
        *,
        imm: int = 0,
        keyword: str = "",
        flags: MemFlags = NO_FLAGS,
        ref: int = -1,
        sig: int = -1,
        targets: tuple[BlockCall, ...] = (),
        data: bytes | tuple[Handler, ...] | None = None,
        srcloc: int | None = None,
    ) -> None:
        self.op = op
        self.type = type_
        self.args = args
        self.results = results
        self.imm = imm
        self.keyword = keyword
        self.flags = flags
        self.ref = ref
        self.sig = sig
        self.targets = targets
        self.data = data
        self.srcloc = srcloc

    def copy(self) -> Inst:
        """A copy that shares only immutable parts; block calls are copied too."""
        return Inst(
            self.op,
            self.type,
            self.args,
            self.results,
            imm=self.imm,
            keyword=self.keyword,
            flags=self.flags,
            ref=self.ref,
            sig=self.sig,
            targets=tuple(BlockCall(c.block, c.args) for c in self.targets),
            data=self.data,
            srcloc=self.srcloc,
        )

    def successors(self) -> tuple[BlockCall, ...]:
        """Every edge that leaves here, a try_call's handlers included."""
        if isinstance(self.data, tuple):
            return self.targets + tuple(h.target for h in self.data if h.target is not None)
        return self.targets

    def uses(self) -> Iterator[Value]:
        """Every value used, block arguments and handler contexts included, with repeats."""
        yield from self.args
        for call in self.successors():
            for arg in call.args:
                if arg >= 0:
                    yield arg
        if isinstance(self.data, tuple):
            for handler in self.data:
                if handler.kind == "context":
                    yield handler.value

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.results} = {self.args}>"


class Block:
    """A basic block: ``params`` are values, ``insts`` end with the terminator."""

    __slots__ = ("cold", "id", "insts", "params")

    def __init__(
        self,
        id_: int,
        params: list[Value] | None = None,
        insts: list[Inst] | None = None,
        cold: bool = False,
    ) -> None:
        self.id = id_
        self.params: list[Value] = [] if params is None else params
        self.insts: list[Inst] = [] if insts is None else insts
        self.cold = cold

    @property
    def terminator(self) -> Inst:
        return self.insts[-1]

    def __repr__(self) -> str:
        return f"<block{self.id}, {len(self.insts)} instructions>"


class AbiParam(NamedTuple):
    """One parameter or result of a signature.

    ``extension``: "", "uext" or "sext"; ``purpose``: "" (normal), "sret", "vmctx" or "sarg(N)".
    """

    type: Type
    extension: str = ""
    purpose: str = ""


class Signature:
    """Parameter and result types, and the calling convention ("" for the default)."""

    __slots__ = ("callconv", "params", "returns")

    def __init__(
        self,
        params: tuple[AbiParam, ...] = (),
        returns: tuple[AbiParam, ...] = (),
        callconv: str = "",
    ) -> None:
        self.params = params
        self.returns = returns
        self.callconv = callconv

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Signature)
            and self.params == other.params
            and self.returns == other.returns
            and self.callconv == other.callconv
        )

    def __hash__(self) -> int:
        return hash((self.params, self.returns, self.callconv))


class StackSlot(NamedTuple):
    """``ssN = explicit_slot size, align = 2^k``; ``align`` in bytes; ``key`` as HEAD writes it."""

    size: int
    align: int = 1
    key: int | None = None


class FunctionRef(NamedTuple):
    """``fnN = [colocated] [patchable] name sig``; ``sig`` is a signature or the N of ``sigN``."""

    name: str
    sig: Signature | int
    colocated: bool = False
    patchable: bool = False


class Annotation(NamedTuple):
    """What an instruction may carry and no pass but the printer reads, as canonical text.

    ``tags``: ``<0, 1>``; ``stack_map``: ``[i32 @ ss0+0]``; "" where there is none.
    """

    tags: str = ""
    stack_map: str = ""


class Function:
    """One CLIF function. ``name`` is as written: ``%f`` or ``u0:1``.

    The preamble's dicts map the number of an entity to what was declared; ``globals`` and the rarely
    used declarations keep their right-hand side as canonical text. ``annotations``: by instruction.
    ``places``: (line, column) of instructions, blocks and the function itself where it was parsed, for
    messages; None for a function that was built, and for a copy.
    """

    __slots__ = ("annotations", "blocks", "constants", "dynamic_slots", "dynamic_types", "functions",
                 "globals", "name", "places", "regions", "signature", "signatures", "stack_limit",
                 "stack_slots", "value_types")  # fmt: skip

    def __init__(self, name: str = "%f", signature: Signature | None = None) -> None:
        self.name = name
        self.signature = Signature() if signature is None else signature
        self.blocks: list[Block] = []
        self.value_types: dict[Value, Type] = {}
        self.stack_slots: dict[int, StackSlot] = {}
        self.signatures: dict[int, Signature] = {}
        self.functions: dict[int, FunctionRef] = {}
        #: the pool: little-endian bytes
        self.constants: dict[int, bytes] = {}
        self.globals: dict[int, str] = {}
        self.dynamic_types: dict[int, str] = {}
        self.dynamic_slots: dict[int, str] = {}
        self.regions: dict[int, str] = {}
        self.stack_limit: int | None = None
        self.annotations: dict[Inst, Annotation] = {}
        self.places: dict[object, tuple[int, int]] | None = None

    @property
    def entry(self) -> Block:
        return self.blocks[0]

    def new_value(self, type_: Type) -> Value:
        """A fresh value; O(1) as long as values are made here (numbers grow with the dict)."""
        types = self.value_types
        value = len(types)
        while value in types:
            value += 1
        types[value] = type_
        return value

    def block(self, id_: int) -> Block:
        """The block named ``blockN``, by search: build a dict for anything hot."""
        for block in self.blocks:
            if block.id == id_:
                return block
        raise KeyError(f"block{id_}")

    def instructions(self) -> Iterator[Inst]:
        for block in self.blocks:
            yield from block.insts

    def instruction_count(self) -> int:
        return sum(len(block.insts) for block in self.blocks)

    def copy(self, *, share: bool = False) -> Function:
        """A copy that can be changed without touching this one. ``share``: its instructions are the same objects,
        to be replaced but not to be changed."""
        other = Function(self.name, self.signature)
        other.value_types = dict(self.value_types)
        other.blocks = [
            Block(b.id, list(b.params), b.insts.copy() if share else [i.copy() for i in b.insts], b.cold)
            for b in self.blocks
        ]  # fmt: skip
        for table in ("stack_slots", "signatures", "functions", "constants", "globals",
                      "dynamic_types", "dynamic_slots", "regions"):  # fmt: skip
            setattr(other, table, dict(getattr(self, table)))
        other.stack_limit = self.stack_limit
        if self.annotations:
            pairs = zip(self.instructions(), other.instructions(), strict=True)
            other.annotations = {
                new: self.annotations[old] for old, new in pairs if old in self.annotations
            }
        return other
