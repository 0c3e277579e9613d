"""CLIF as LLVM IR text, meaning for meaning.

What CLIF defines and LLVM leaves undefined is spelled out: shift amounts are masked, divisions and
accesses are checked before they are done, ``clz`` of zero is asked for, no flag (``nsw``, ``nuw``, ``inbounds``)
promises anything. Each CLIF edge gets a block of its own, so that a block's parameters become phis even when
one branch leads there twice. A trap is ``llvm.ubsantrap(code)``: a trapping instruction that names its code.

One row an opcode: a template over ``{t}`` (the result's or operands' type), ``{x}``, ``{y}``, ``{z}`` (operands), or a
method for what takes more than one instruction. Floats have their tables in :mod:`fuzzer.targets.llvm_floats`.

Arguments are passed as LLVM passes them, which is by the standard. Results that are several go where the executor
looks for them: an i128 as its two halves, behind an unused i64 if its register would be odd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from backend.errors import Unsupported
from backend.ir.entities import AbiParam, BlockCall, Function, Inst, Value
from backend.ir.opcodes import Opcode
from backend.ir.types import I128, Type
from fuzzer.case import DATA_BASE
from fuzzer.targets import llvm_floats
from fuzzer.targets.llvm_traps import trap_number

_TEMPLATES: Final[dict[str, str]] = {
    "iadd": "add {t} {x}, {y}",
    "isub": "sub {t} {x}, {y}",
    "imul": "mul {t} {x}, {y}",
    "ineg": "sub {t} 0, {x}",
    "select": "select i1 {c}, {t} {y}, {t} {z}",
    "select_spectre_guard": "select i1 {c}, {t} {y}, {t} {z}",
    "uextend": "zext {s} {x} to {t}",
    "sextend": "sext {s} {x} to {t}",
    "ireduce": "trunc {s} {x} to {t}",
    "iabs": "call {t} @llvm.abs.{t}({t} {x}, i1 false)",
    "clz": "call {t} @llvm.ctlz.{t}({t} {x}, i1 false)",
    "ctz": "call {t} @llvm.cttz.{t}({t} {x}, i1 false)",
    "popcnt": "call {t} @llvm.ctpop.{t}({t} {x})",
    "bitrev": "call {t} @llvm.bitreverse.{t}({t} {x})",
    "bswap": "call {t} @llvm.bswap.{t}({t} {x})",
    "smin": "call {t} @llvm.smin.{t}({t} {x}, {t} {y})",
    "smax": "call {t} @llvm.smax.{t}({t} {x}, {t} {y})",
    "umin": "call {t} @llvm.umin.{t}({t} {x}, {t} {y})",
    "umax": "call {t} @llvm.umax.{t}({t} {x}, {t} {y})",
    **llvm_floats.TEMPLATES,
}

_EXTEND: Final = {"uext": "zext", "sext": "sext"}
_SHIFTS: Final = {"ishl": "shl", "ushr": "lshr", "sshr": "ashr"}
_CONDITIONS: Final = {"eq": "eq", "ne": "ne", "slt": "slt", "sle": "sle", "sgt": "sgt", "sge": "sge",
                      "ult": "ult", "ule": "ule", "ugt": "ugt", "uge": "uge"}  # fmt: skip


class Translator:
    """Translates one function. Use once."""

    def __init__(self, function: Function, memory_size: int) -> None:
        self.function = function
        self.memory_size = memory_size
        self._lines: list[str] = []
        self._temporaries = 0
        self._traps = 0
        self._edges = 0
        self._incoming: dict[int, list[tuple[str, tuple[str, ...]]]] = {
            block.id: [] for block in function.blocks
        }
        self._on_stack = _stack_derived(function)
        self.declared: set[str] = set()

    def translate(self) -> str:
        """The module's text: one function, ``@clif``."""
        function = self.function
        for type_ in function.value_types.values():
            _scalar(type_)
        ints = sum(type_[0] == "i" for type_ in self._result_types())
        if max(ints, len(self._result_types()) - ints) > 8:
            raise Unsupported("results that are not in registers")
        bodies = []
        for block in function.blocks:
            self._lines = []
            for inst in block.insts:
                self._inst(inst)
            bodies.append(self._lines)
        entry = function.blocks[0]
        params = ", ".join(f"{self.type_of(v)} {self.name_of(v)}" for v in entry.params)
        lines = [f"define {self._result_type()} @clif({params}) #0 {{", "start:"]
        for number, slot in function.stack_slots.items():
            lines.append(f"  %ss{number} = alloca [{slot.size} x i8], align {max(slot.align, 1)}")
        lines.append(f"  br label %b{entry.id}")
        for block, body in zip(function.blocks, bodies, strict=True):
            lines.append(f"b{block.id}:")
            if block is not entry:
                for index, value in enumerate(block.params):
                    lines.append(f"  {self.name_of(value)} = {self._phi(block.id, index, value)}")
            lines += body
        lines += ["}", *sorted(self.declared), 'attributes #0 = { nounwind "no-builtins" }']
        return "\n".join(lines) + "\n"

    # -- names and types ------------------------------------------------------------------------------------

    def name_of(self, value: Value) -> str:
        return f"%v{value}"

    def type_of(self, value: Value) -> str:
        return _scalar(self.function.value_types[value])

    def _result_types(self) -> list[str]:
        """What is returned, i128 as halves."""
        types: list[str] = []
        for result in self.function.signature.returns:
            if result.type is I128:
                odd = sum(t[0] == "i" for t in types) % 2
                types += ["i64"] * (odd + 2)
            else:
                types.append(_returned(result))
        return types

    def _result_type(self) -> str:
        types = self._result_types()
        if not types:
            return "void"
        return types[0] if len(types) == 1 else "{ " + ", ".join(types) + " }"

    def _phi(self, block: int, index: int, value: Value) -> str:
        incoming = self._incoming[block]
        if not incoming:
            return f"freeze {self.type_of(value)} poison"
        pairs = ", ".join(f"[ {args[index]}, %{label} ]" for label, args in incoming)
        return f"phi {self.type_of(value)} {pairs}"

    # -- emitting --------------------------------------------------------------------------------------------

    def _emit(self, text: str) -> None:
        self._lines.append("  " + text)

    def temporary(self, text: str) -> str:
        self._temporaries += 1
        name = f"%t{self._temporaries}"
        self._emit(f"{name} = {text}")
        return name

    def trap_if(self, condition: str, code: str) -> None:
        self._traps += 1
        trap, onward = f"trap{self._traps}", f"on{self._traps}"
        self._emit(f"br i1 {condition}, label %{trap}, label %{onward}")
        self._lines.append(f"{trap}:")
        self._trap(code)
        self._lines.append(f"{onward}:")

    def _trap(self, code: str) -> None:
        self.declared.add("declare void @llvm.ubsantrap(i8)")
        # Memory at a trap is compared: without the fence, which becomes no instruction, LLVM may
        # drop a store that only code behind the trap could have seen overwritten.
        self._emit('fence syncscope("singlethread") seq_cst')
        self._emit(f"call void @llvm.ubsantrap(i8 {trap_number(code)})")
        self._emit("unreachable")

    def _edge(self, call: BlockCall, after: list[str]) -> str:
        """The label of a new block that goes on to the call's block."""
        self._edges += 1
        label = f"e{self._edges}"
        self._incoming[call.block].append((label, tuple(self.name_of(a) for a in call.args)))
        after += [f"{label}:", f"  br label %b{call.block}"]
        return label

    def _inst(self, inst: Inst) -> None:
        name = inst.op.name
        if name in llvm_floats.NO_PAIRS and I128 in [
            self.function.value_types[v] for v in (*inst.args, *inst.results)
        ]:
            raise Unsupported(f"{name} of i128")
        template = _TEMPLATES.get(name)
        if template is not None:
            self._from_template(inst, template)
            return
        method = _METHODS.get(name)
        if method is None:
            raise Unsupported(f"opcode {name}")
        method(self, inst)

    def result(self, inst: Inst, text: str, index: int = 0) -> None:
        self._emit(f"{self.name_of(inst.results[index])} = {text}")

    def _from_template(self, inst: Inst, template: str) -> None:
        args = [self.name_of(a) for a in inst.args]
        type_ = self.type_of(inst.results[0])
        source = self.type_of(inst.args[0])
        names = {
            "t": type_,
            "s": source,
            "n": self.mangled(inst.results[0]),
            "m": self.mangled(inst.args[0]),
        }
        condition = ""
        if "{c}" in template:
            condition = self.temporary(f"icmp ne {source} {args[0]}, 0")
        args += [""] * (3 - len(args))
        text = template.format(**names, c=condition, x=args[0], y=args[1], z=args[2])
        if inst.op.name in llvm_floats.FOLDED:
            llvm_floats.quieted(self, inst, self.temporary(text))
        else:
            self.result(inst, text)
        if "@" in template:
            head, _, rest = template.partition("(")
            name = head.format(**names).split()[-1]
            types = [word.split()[0].format(**names) for word in rest.rstrip(")").split(", ")]
            self.declared.add(f"declare {type_} {name}({', '.join(types)})")

    def mangled(self, value: Value) -> str:
        """A value's type in the name of an intrinsic."""
        return self.function.value_types[value].name

    # -- what takes more than one instruction -----------------------------------------------------------------

    def _iconst(self, inst: Inst) -> None:
        self.result(inst, f"add {self.type_of(inst.results[0])} 0, {inst.imm}")

    def _multiply_high(self, inst: Inst) -> None:
        type_ = self.function.value_types[inst.results[0]]
        wide, extend = f"i{2 * type_.bits}", "sext" if inst.op.name[0] == "s" else "zext"
        x, y = (
            self.temporary(f"{extend} {type_.name} {self.name_of(a)} to {wide}") for a in inst.args
        )
        product = self.temporary(f"mul {wide} {x}, {y}")
        high = self.temporary(f"lshr {wide} {product}, {type_.bits}")
        self.result(inst, f"trunc {wide} {high} to {type_.name}")

    def _divide(self, inst: Inst) -> None:
        name = inst.op.name
        type_ = self.type_of(inst.results[0])
        x, y = (self.name_of(a) for a in inst.args)
        bits = int(type_[1:])
        self.trap_if(self.temporary(f"icmp eq {type_} {y}, 0"), "int_divz")
        if name[0] == "s":
            minus_one = self.temporary(f"icmp eq {type_} {y}, -1")
            if name == "sdiv":
                lowest = self.temporary(f"icmp eq {type_} {x}, {-(1 << (bits - 1))}")
                self.trap_if(self.temporary(f"and i1 {minus_one}, {lowest}"), "int_ovf")
            else:
                y = self.temporary(f"select i1 {minus_one}, {type_} 1, {type_} {y}")
        self.result(inst, f"{name} {type_} {x}, {y}")

    def _overflow(self, inst: Inst) -> None:
        type_ = self.type_of(inst.results[0])
        intrinsic = f"@llvm.{inst.op.name[:4]}.with.overflow.{type_}"
        pair = f"{{ {type_}, i1 }}"
        self.declared.add(f"declare {pair} {intrinsic}({type_}, {type_})")
        x, y = (self.name_of(a) for a in inst.args)
        both = self.temporary(f"call {pair} {intrinsic}({type_} {x}, {type_} {y})")
        self.result(inst, f"extractvalue {pair} {both}, 0")
        flag = self.temporary(f"extractvalue {pair} {both}, 1")
        self.result(inst, f"zext i1 {flag} to i8", 1)

    def _add_trap(self, inst: Inst) -> None:
        type_ = self.type_of(inst.results[0])
        x, y = (self.name_of(a) for a in inst.args)
        self.result(inst, f"add {type_} {x}, {y}")
        carry = self.temporary(f"icmp ult {type_} {self.name_of(inst.results[0])}, {x}")
        self.trap_if(carry, inst.keyword)

    def _amount(self, inst: Inst) -> str:
        value_type = self.function.value_types[inst.results[0]]
        amount_type = self.function.value_types[inst.args[1]]
        amount = self.temporary(
            f"and {amount_type.name} {self.name_of(inst.args[1])}, {value_type.bits - 1}"
        )
        if amount_type.bits < value_type.bits:
            return self.temporary(f"zext {amount_type.name} {amount} to {value_type.name}")
        if amount_type.bits > value_type.bits:
            return self.temporary(f"trunc {amount_type.name} {amount} to {value_type.name}")
        return amount

    def _shift(self, inst: Inst) -> None:
        amount = self._amount(inst)
        type_, x = self.type_of(inst.results[0]), self.name_of(inst.args[0])
        self.result(inst, f"{_SHIFTS[inst.op.name]} {type_} {x}, {amount}")

    def _rotate(self, inst: Inst) -> None:
        amount = self._amount(inst)
        type_, x = self.type_of(inst.results[0]), self.name_of(inst.args[0])
        intrinsic = f"@llvm.{'fshl' if inst.op.name == 'rotl' else 'fshr'}.{type_}"
        self.declared.add(f"declare {type_} {intrinsic}({type_}, {type_}, {type_})")
        self.result(inst, f"call {type_} {intrinsic}({type_} {x}, {type_} {x}, {type_} {amount})")

    def _cls(self, inst: Inst) -> None:
        type_, x = self.type_of(inst.results[0]), self.name_of(inst.args[0])
        sign = self.temporary(f"ashr {type_} {x}, {int(type_[1:]) - 1}")
        flipped = self.temporary(f"xor {type_} {x}, {sign}")
        self.declared.add(f"declare {type_} @llvm.ctlz.{type_}({type_}, i1)")
        zeros = self.temporary(f"call {type_} @llvm.ctlz.{type_}({type_} {flipped}, i1 false)")
        self.result(inst, f"sub {type_} {zeros}, 1")

    def _bmask(self, inst: Inst) -> None:
        source = self.type_of(inst.args[0])
        bit = self.temporary(f"icmp ne {source} {self.name_of(inst.args[0])}, 0")
        self.result(inst, f"sext i1 {bit} to {self.type_of(inst.results[0])}")

    def _icmp(self, inst: Inst) -> None:
        x, y = (self.name_of(a) for a in inst.args)
        bit = self.temporary(
            f"icmp {_CONDITIONS[inst.keyword]} {self.type_of(inst.args[0])} {x}, {y}"
        )
        self.result(inst, f"zext i1 {bit} to i8")

    def _iconcat(self, inst: Inst) -> None:
        low, wide = self.type_of(inst.args[0]), self.type_of(inst.results[0])
        x = self.temporary(f"zext {low} {self.name_of(inst.args[0])} to {wide}")
        y = self.temporary(f"zext {low} {self.name_of(inst.args[1])} to {wide}")
        y = self.temporary(f"shl {wide} {y}, {int(low[1:])}")
        self.result(inst, f"or {wide} {x}, {y}")

    def _isplit(self, inst: Inst) -> None:
        wide, half = self.type_of(inst.args[0]), self.type_of(inst.results[0])
        x = self.name_of(inst.args[0])
        self.result(inst, f"trunc {wide} {x} to {half}")
        high = self.temporary(f"lshr {wide} {x}, {int(half[1:])}")
        self.result(inst, f"trunc {wide} {high} to {half}", 1)

    # -- memory ------------------------------------------------------------------------------------------------

    def _address(self, inst: Inst, address: Value, width: int) -> str:
        """A pointer to what is accessed, after a check that it is in bounds."""
        if inst.flags.endian == "big":
            raise Unsupported("big-endian access")
        where = self.temporary(f"add i64 {self.name_of(address)}, {inst.imm}")
        if address not in self._on_stack:
            if inst.flags.trap is None:
                raise Unsupported("notrap access of the data region")
            last = self.memory_size - width
            if last < 0:
                self.trap_if("true", inst.flags.trap)
            else:
                distance = self.temporary(f"sub i64 {where}, {DATA_BASE}")
                outside = self.temporary(f"icmp ugt i64 {distance}, {last}")
                self.trap_if(outside, inst.flags.trap)
        return self.temporary(f"inttoptr i64 {where} to ptr")

    def _load(self, inst: Inst) -> None:
        type_ = self.type_of(inst.results[0])
        kind, memory = _memory_type(inst, type_)
        pointer = self._address(inst, inst.args[0], _bytes(memory))
        if memory == type_:
            self.result(inst, f"load {type_}, ptr {pointer}, align 1")
        else:
            narrow = self.temporary(f"load {memory}, ptr {pointer}, align 1")
            extend = "zext" if kind == "u" else "sext"
            self.result(inst, f"{extend} {memory} {narrow} to {type_}")

    def _store(self, inst: Inst) -> None:
        type_ = self.type_of(inst.args[0])
        _, memory = _memory_type(inst, type_)
        value = self.name_of(inst.args[0])
        pointer = self._address(inst, inst.args[1], _bytes(memory))
        if memory != type_:
            value = self.temporary(f"trunc {type_} {value} to {memory}")
        self._emit(f"store {memory} {value}, ptr {pointer}, align 1")

    def _stack_addr(self, inst: Inst) -> None:
        pointer = self.temporary(f"getelementptr i8, ptr %ss{inst.ref}, i64 {inst.imm}")
        self.result(inst, f"ptrtoint ptr {pointer} to {self.type_of(inst.results[0])}")

    # -- control flow ------------------------------------------------------------------------------------------

    def _jump(self, inst: Inst) -> None:
        after: list[str] = []
        self._emit(f"br label %{self._edge(inst.targets[0], after)}")
        self._lines += after

    def _brif(self, inst: Inst) -> None:
        after: list[str] = []
        c = self.temporary(f"icmp ne {self.type_of(inst.args[0])} {self.name_of(inst.args[0])}, 0")
        then, other = (self._edge(call, after) for call in inst.targets)
        self._emit(f"br i1 {c}, label %{then}, label %{other}")
        self._lines += after

    def _br_table(self, inst: Inst) -> None:
        after: list[str] = []
        default, *table = (self._edge(call, after) for call in inst.targets)
        cases = " ".join(f"i32 {i}, label %{label}" for i, label in enumerate(table))
        self._emit(f"switch i32 {self.name_of(inst.args[0])}, label %{default} [{cases}]")
        self._lines += after

    def _return(self, inst: Inst) -> None:
        type_ = self._result_type()
        parts: list[tuple[str, str]] = []
        for arg, result in zip(inst.args, self.function.signature.returns, strict=True):
            if result.type is not I128:
                parts.append(self._extended(arg, result))
                continue
            if sum(t[0] == "i" for t, _ in parts) % 2:
                parts.append(("i64", "poison"))
            high = self.temporary(f"lshr i128 {self.name_of(arg)}, 64")
            halves = (self.name_of(arg), high)
            parts += [("i64", self.temporary(f"trunc i128 {half} to i64")) for half in halves]
        if not parts:
            self._emit("ret void")
        elif len(parts) == 1:
            self._emit(f"ret {type_} {parts[0][1]}")
        else:
            whole = "poison"
            for index, (part_type, part) in enumerate(parts):
                whole = self.temporary(f"insertvalue {type_} {whole}, {part_type} {part}, {index}")
            self._emit(f"ret {type_} {whole}")

    def _extended(self, value: Value, result: AbiParam) -> tuple[str, str]:
        """Type and name of a result as it is returned."""
        to, type_, name = _returned(result), self.type_of(value), self.name_of(value)
        if to != type_:
            name = self.temporary(f"{_EXTEND[result.extension]} {type_} {name} to {to}")
        return to, name

    def _always_trap(self, inst: Inst) -> None:
        self._trap(inst.keyword)

    def _conditional_trap(self, inst: Inst) -> None:
        compare = "eq" if inst.op.name == "trapz" else "ne"
        type_ = self.type_of(inst.args[0])
        hit = self.temporary(f"icmp {compare} {type_} {self.name_of(inst.args[0])}, 0")
        self.trap_if(hit, inst.keyword)

    def _nop(self, inst: Inst) -> None:
        pass


def _returned(result: AbiParam) -> str:
    """The type to return it as. An extension fills the whole register, where ``signext`` stops at 32 bits."""
    return "i64" if result.extension and result.type.bits < 64 else _scalar(result.type)


def is_translated(op: Opcode, types: Sequence[Type]) -> bool:
    """Is ``op`` translated where its operands and results are of ``types``?"""
    if op.name not in SUPPORTED or (I128 in types and op.name in llvm_floats.NO_PAIRS):
        return False
    return all(type_.is_int or type_.name in llvm_floats.NAMES for type_ in types)


def _scalar(type_: Type) -> str:
    """LLVM's name of a scalar type."""
    if type_.is_int:
        return type_.name
    name = llvm_floats.NAMES.get(type_.name)
    if name is None:
        raise Unsupported(f"type {type_.name}")
    return name


def _bytes(name: str) -> int:
    """Size of what LLVM calls ``name``."""
    return {"float": 4, "double": 8}.get(name) or int(name[1:]) // 8


def _memory_type(inst: Inst, type_: str) -> tuple[str, str]:
    """("u", "i8") for ``uload8``: the extension and the type in memory."""
    digits = "".join(c for c in inst.op.name if c.isdigit())
    return inst.op.name[0], f"i{digits}" if digits else type_


def _stack_derived(function: Function) -> set[Value]:
    """Values that may hold a stack address: found by following uses until nothing is added."""
    derived: set[Value] = set()
    before = -1
    params = {block.id: block.params for block in function.blocks}
    while len(derived) != before:
        before = len(derived)
        for inst in function.instructions():
            if inst.op.name == "stack_addr" or (
                not inst.op.reads and not derived.isdisjoint(inst.args)
            ):
                derived.update(inst.results)
            for call in inst.targets:
                for param, arg in zip(params[call.block], call.args, strict=True):
                    if arg in derived:
                        derived.add(param)
    return derived


_METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    "iconst": Translator._iconst,
    **llvm_floats.METHODS,
    **dict.fromkeys(("umulhi", "smulhi"), Translator._multiply_high),
    **dict.fromkeys(("udiv", "sdiv", "urem", "srem"), Translator._divide),
    **dict.fromkeys(
        [f"{s}{op}_overflow" for s in "us" for op in ("add", "sub", "mul")], Translator._overflow
    ),
    "uadd_overflow_trap": Translator._add_trap,
    **dict.fromkeys(_SHIFTS, Translator._shift),
    **dict.fromkeys(("rotl", "rotr"), Translator._rotate),
    "cls": Translator._cls,
    "bmask": Translator._bmask,
    "icmp": Translator._icmp,
    "iconcat": Translator._iconcat,
    "isplit": Translator._isplit,
    **dict.fromkeys(
        ("load", *(f"{s}load{bits}" for s in "us" for bits in (8, 16, 32))), Translator._load
    ),
    **dict.fromkeys(("store", "istore8", "istore16", "istore32"), Translator._store),
    "stack_addr": Translator._stack_addr,
    "jump": Translator._jump,
    "brif": Translator._brif,
    "br_table": Translator._br_table,
    "return": Translator._return,
    "trap": Translator._always_trap,
    **dict.fromkeys(("trapz", "trapnz"), Translator._conditional_trap),
    "nop": Translator._nop,
}

SUPPORTED: Final = frozenset(_TEMPLATES) | frozenset(_METHODS)
"""Opcodes that have a translation."""
