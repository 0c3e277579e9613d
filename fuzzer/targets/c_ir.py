"""CLIF as C11, meaning for meaning, with what gcc, clang and tcc share beside the standard.

Nothing that C leaves undefined is ever done: all integers are unsigned and computed in 32 bits at least, shift amounts
are masked, divisions and conversions are looked at before they are done, memory is accessed by ``memcpy``. Signs and
payloads of NaNs go by way of integers; an arithmetic result that is a NaN is made quiet, since a compiler may give an
operand back (x * 1). A trap is marked by an instruction that names its code, and an endless loop behind it.

A value is a local variable, a block a label, an edge assigns the parameters of its block and jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from backend.errors import Unsupported
from backend.ir.entities import BlockCall, Function, Inst, Value
from backend.ir.global_values import Parameter, chain_of
from backend.ir.opcodes import Opcode
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from fuzzer.case import DATA_BASE
from fuzzer.execute.layout import STACK, STACK_SIZE
from fuzzer.targets import c_calls
from fuzzer.targets.c_prelude import PRELUDE
from fuzzer.targets.llvm_pointers import Pointers
from fuzzer.targets.llvm_traps import trap_number

NAMES: Final = {
    I8: "u8",
    I16: "u16",
    I32: "u32",
    I64: "u64",
    I128: "u128",
    F32: "float",
    F64: "double",
}

_ARITHMETIC: Final = {"iadd": "+", "isub": "-", "imul": "*", "band": "&", "bor": "|", "bxor": "^"}
_SHIFTS: Final = {"ishl": "({t})(({w}){x} << {n})", "ushr": "({t})({x} >> {n})", "sshr": "({t})(({s}){x} >> {n})",
                  "rotl": "({t})(({w}){x} << {n} | ({w}){x} >> (({b} - {n}) & {m}))",
                  "rotr": "({t})(({w}){x} >> {n} | ({w}){x} << (({b} - {n}) & {m}))"}  # fmt: skip
_COMPARISONS: Final = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}

TEMPLATES: Final[dict[str, str]] = {
    **{name: f"({{t}})(({{w}}){{x}} {sign} ({{w}}){{y}})" for name, sign in _ARITHMETIC.items()},
    "ineg": "({t})(0 - ({w}){x})",
    "bnot": "({t})~({w}){x}",
    "bitselect": "({t})(({x} & {y}) | (~({w}){x} & {z}))",
    "iabs": "({t})(({s}){x} < 0 ? 0 - ({w}){x} : {x})",
    "umin": "{x} < {y} ? {x} : {y}",
    "umax": "{x} > {y} ? {x} : {y}",
    "smin": "({s}){x} < ({s}){y} ? {x} : {y}",
    "smax": "({s}){x} > ({s}){y} ? {x} : {y}",
    "select": "{x} ? {y} : {z}",
    "select_spectre_guard": "{x} ? {y} : {z}",
    "uextend": "({t}){x}",
    "sextend": "({t})({st})({sx}){x}",
    "ireduce": "({t}){x}",
    "bmask": "{x} ? ({t})~({w})0 : 0",
    "clz": "clz{b}({x})", "ctz": "ctz{b}({x})", "cls": "({t})(clz{b}(({t})({x} ^ ({t})(({s}){x} >> {m}))) - 1)",
    "popcnt": "popcnt{b}({x})", "bitrev": "bitrev{b}({x})", "bswap": "bswap{b}({x})",
    "umulhi": "({t})(({d}){x} * ({d}){y} >> {b})",
    "smulhi": "({t})(({d})({sd})({s}){x} * ({d})({sd})({s}){y} >> {b})",
    "iconcat": "({t})(({t}){y} << {h} | {x})",
    **{name: f"quiet{{b}}({{x}} {sign} {{y}})"
       for name, sign in (("fadd", "+"), ("fsub", "-"), ("fmul", "*"), ("fdiv", "/"))},
    **{name: f"quiet{{b}}({called}{{b}}({{x}}))" for name, called in (
        ("sqrt", "sqrt"), ("ceil", "ceil"), ("floor", "floor"), ("trunc", "trunc"), ("nearest", "nearbyint"))},
    "fma": "quiet{b}(fma{b}({x}, {y}, {z}))",
    "fmin": "quiet{b}({x} < {y} ? {x} : {y} < {x} ? {y} : {x} == {y}"
            " ? float{b}(bits{b}({x}) | bits{b}({y})) : {x} + {y})",
    "fmax": "quiet{b}({x} > {y} ? {x} : {y} > {x} ? {y} : {x} == {y}"
            " ? float{b}(bits{b}({x}) & bits{b}({y})) : {x} + {y})",
    "fneg": "float{b}(bits{b}({x}) ^ SIGN{b})",
    "fabs": "float{b}(bits{b}({x}) & ~SIGN{b})",
    "fcopysign": "float{b}((bits{b}({x}) & ~SIGN{b}) | (bits{b}({y}) & SIGN{b}))",
    "fpromote": "quiet64({x})", "fdemote": "quiet32((float){x})",
    "fcvt_from_uint": "({t}){x}", "fcvt_from_sint": "({t})({sx}){x}",
}  # fmt: skip
"""Over ``{t}`` the result's type, ``{s}`` that with a sign, ``{w}`` the type to compute in, ``{d}`` and ``{sd}`` those
of twice the bits; ``{b}`` the bits, ``{m}`` these less 1, ``{h}`` half of them; ``{sx}`` the first operand's type with
a sign, ``{n}`` the shift amount, ``{x}``, ``{y}``, ``{z}`` the operands."""

_BITS_OF_FLOATS: Final = {"band": "bits{b}({x}) & bits{b}({y})", "bor": "bits{b}({x}) | bits{b}({y})",
                          "bxor": "bits{b}({x}) ^ bits{b}({y})", "bnot": "~bits{b}({x})",
                          "bitselect": "(bits{b}({x}) & bits{b}({y})) | (~bits{b}({x}) & bits{b}({z}))"}  # fmt: skip
#: UD1 with a displacement, and BRK with a number behind 0x5500, as for LLVM
_MARKS: Final = {
    "x86_64": '".byte 0x67, 0x0f, 0xb9, 0x80, {0}, 0, 0, 0"',
    "aarch64": '".inst {1:#x}"',
}


def signed(type_: Type) -> str:
    return "s" + NAMES[type_][1:]


def working(type_: Type) -> str:
    """What to compute in: narrower integers would become signed."""
    return NAMES[type_] if type_.bits > 32 else "u32"


class Module:
    """The functions of a case, the first of which is called by the executor. Use once. ``symbols``: C's names to
    CLIF's."""

    def __init__(self, functions: Sequence[Function], isa: str, memory_size: int) -> None:
        self.isa = isa
        self.memory_size = memory_size
        self.functions = {function.name: function for function in functions}
        self.pointers = Pointers(functions)
        self.symbols: dict[str, str] = {}
        self._declared: dict[str, tuple[str, c_calls.Shape]] = {}
        self.types: dict[str, str] = {}

    def translate(self) -> str:
        """The file's text. Unsupported for what has no translation."""
        for function in self.functions.values():
            self.callee(function.name, c_calls.shape_of(function.signature, self.isa))
        texts = [Translator(self, function).translate() for function in self.functions.values()]
        heads = [
            f"extern {shape.result} {name}({shape.params or 'void'});"
            for name, shape in self._declared.values()
        ]
        return "\n".join([PRELUDE, *self.types.values(), *heads, *texts])

    @property
    def structures(self) -> list[str]:
        """The classes, ``i`` and ``f``, of the members of each structure that is returned."""
        return [name.removeprefix("struct r") for name in self.types]

    def callee(self, name: str, shape: c_calls.Shape) -> str:
        """A function's symbol, for a call of it as ``shape``. Unsupported if it is of another elsewhere."""
        symbol, known = self._declared.setdefault(name, (f"f{len(self._declared)}", shape))
        if (known.result, known.params) != (shape.result, shape.params):
            raise Unsupported(f"{name} is declared in more than one way")
        self.symbols[symbol] = name
        self.types |= shape.types
        return symbol


class Translator:
    """Translates one function. Use once."""

    def __init__(self, module: Module, function: Function) -> None:
        self.module = module
        self.function = function
        self.shape = c_calls.shape_of(function.signature, module.isa)
        self.own = module.pointers.own[function.name]
        self.foreign = module.pointers.foreign[function.name]
        self.params = {block.id: block.params for block in function.blocks}
        self._lines: list[str] = []
        self._temporaries = 0

    def translate(self) -> str:
        function = self.function
        symbol = self.module.callee(function.name, self.shape)
        lines = [f"{self.shape.result} {symbol}({self.shape.params or 'void'}) {{"]
        for value, type_ in function.value_types.items():
            if type_ not in NAMES:
                raise Unsupported(f"type {type_}")
            lines.append(f"  {NAMES[type_]} v{value};")
        for number, slot in function.stack_slots.items():
            align = f"__attribute__((aligned({max(slot.align, 1)})))"
            lines.append(f"  u8 ss{number}[{max(slot.size, 1)}] {align};")
        self._lines = lines
        c_calls.parameters(self)
        self.emit(f"goto b{function.entry.id};")
        for block in function.blocks:
            self._lines.append(f"b{block.id}:;")
            for inst in block.insts:
                self._translate_inst(inst)
        return "\n".join([*self._lines, "}"]) + "\n"

    def emit(self, text: str) -> None:
        self._lines.append("  " + text)

    def temporary(self, type_: str, text: str) -> str:
        """A new variable that holds what ``text`` computes, in a scope of its own."""
        self._temporaries += 1
        name = f"t{self._temporaries}"
        # A label may stand before an assignment, not before a declaration.
        self._lines.insert(1, f"  {type_} {name};")
        self.emit(f"{name} = {text};")
        return name

    def area(self, size: int) -> str:
        """A new array for results of a call that are in no register."""
        self._temporaries += 1
        name = f"a{self._temporaries}"
        self._lines.insert(1, f"  u8 {name}[{size}] __attribute__((aligned(16)));")
        return name

    def type_of(self, value: Value) -> Type:
        return self.function.value_types[value]

    def set(self, inst: Inst, text: str, index: int = 0) -> None:
        self.emit(f"v{inst.results[index]} = {text};")

    def trap_if(self, condition: str, code: str) -> None:
        number = trap_number(code)
        mark = _MARKS[self.module.isa].format(number, 0xD420_0000 | 0x5500 + number << 5)
        self.emit(f'if ({condition}) {{ __asm__ volatile ({mark} : : : "memory"); for (;;) ; }}')

    def _translate_inst(self, inst: Inst) -> None:
        name = inst.op.name
        if not is_translated(inst.op, [self.type_of(v) for v in (*inst.args, *inst.results)]):
            raise Unsupported(f"opcode {name} at {inst.type}" if inst.type else f"opcode {name}")
        if name in TEMPLATES:
            self._from_template(inst, TEMPLATES[name])
        else:
            _METHODS[name](self, inst)

    def _from_template(self, inst: Inst, template: str, amount: str = "") -> None:
        result, first = self.type_of(inst.results[0]), self.type_of(inst.args[0])
        if result.is_float and inst.op.name in _BITS_OF_FLOATS:
            template = f"float{{b}}({_BITS_OF_FLOATS[inst.op.name]})"
        names = {
            "t": NAMES[result],
            "b": result.bits,
            "m": result.bits - 1,
            "h": result.bits // 2,
            "n": amount,
        }
        if result.is_int:
            wide = {8: I16, 16: I32, 32: I64, 64: I128}.get(result.bits, I128)
            names |= {"s": signed(result), "st": signed(result), "w": working(result),
                      "d": working(wide), "sd": signed(wide if wide.bits > 32 else I32)}  # fmt: skip
        if first.is_int:
            names["sx"] = signed(first)
        args = dict(zip("xyz", (f"v{a}" for a in inst.args), strict=False))
        self.set(inst, template.format(**names, **args))

    # -- constants, compares, widths

    def iconst(self, inst: Inst) -> None:
        self.set(inst, f"({NAMES[self.type_of(inst.results[0])]}){inst.imm:#x}ull")

    def float_const(self, inst: Inst) -> None:
        self.set(inst, f"float{self.type_of(inst.results[0]).bits}({inst.imm:#x}ull)")

    def icmp(self, inst: Inst) -> None:
        cast = f"({signed(self.type_of(inst.args[0]))})" if inst.keyword[0] == "s" else ""
        x, y = (f"{cast}v{a}" for a in inst.args)
        name = inst.keyword if inst.keyword in ("eq", "ne") else inst.keyword[1:]
        self.set(inst, f"{x} {_COMPARISONS[name]} {y}")

    def fcmp(self, inst: Inst) -> None:
        x, y = (f"v{a}" for a in inst.args)
        ordered = f"({x} == {x} && {y} == {y})"
        condition = inst.keyword
        if condition in ("ord", "uno"):
            text = ordered if condition == "ord" else f"!{ordered}"
        elif condition in ("one", "ueq"):
            text = f"{'' if condition == 'one' else '!'}({x} < {y} || {x} > {y})"
        elif condition in _COMPARISONS:
            text = f"{x} {_COMPARISONS[condition]} {y}"
        else:  # of an unordered one the opposite does not hold
            opposite = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt"}[condition[1:]]
            text = f"!({x} {_COMPARISONS[opposite]} {y})"
        self.set(inst, text)

    def shift(self, inst: Inst) -> None:
        bits = self.type_of(inst.results[0]).bits
        self._from_template(
            inst, _SHIFTS[inst.op.name], f"((unsigned)v{inst.args[1]} & {bits - 1})"
        )

    def isplit(self, inst: Inst) -> None:
        half = self.type_of(inst.results[0])
        self.set(inst, f"({NAMES[half]})v{inst.args[0]}")
        self.set(inst, f"({NAMES[half]})(v{inst.args[0]} >> {half.bits})", 1)

    def bitcast(self, inst: Inst) -> None:
        to, source = self.type_of(inst.results[0]), self.type_of(inst.args[0])
        kind = (
            ""
            if to.is_float == source.is_float
            else f"{'float' if to.is_float else 'bits'}{to.bits}"
        )
        self.set(inst, f"{kind}(v{inst.args[0]})")

    # -- what may trap or overflow

    def divide(self, inst: Inst) -> None:
        name, type_ = inst.op.name, self.type_of(inst.results[0])
        x, y = (f"v{a}" for a in inst.args)
        plain, own = NAMES[type_], signed(type_)
        sign = "/" if "div" in name else "%"
        self.trap_if(f"{y} == 0", "int_divz")
        if name[0] == "u":
            self.set(inst, f"({plain})({x} {sign} {y})")
            return
        minus_one = f"{y} == ({plain})~({working(type_)})0"
        if name == "sdiv":
            lowest = f"{x} == ({plain})(({working(type_)})1 << {type_.bits - 1})"
            self.trap_if(f"{minus_one} && {lowest}", "int_ovf")
            self.set(inst, f"({plain})(({own}){x} / ({own}){y})")
        else:
            self.set(inst, f"{minus_one} ? 0 : ({plain})(({own}){x} % ({own}){y})")

    def overflow(self, inst: Inst) -> None:
        name, type_ = inst.op.name, self.type_of(inst.results[0])
        kind = signed(type_) if name[0] == "s" else NAMES[type_]
        x, y = (f"({kind})v{a}" for a in inst.args)
        place = self.temporary(kind, "0")
        self.set(inst, f"__builtin_{name[1:4]}_overflow({x}, {y}, &{place})", 1)
        self.set(inst, f"({NAMES[type_]}){place}")

    def add_trap(self, inst: Inst) -> None:
        x, y = inst.args
        self.set(inst, f"({NAMES[self.type_of(x)]})(v{x} + v{y})")
        self.trap_if(f"v{inst.results[0]} < v{x}", inst.keyword)

    def to_int(self, inst: Inst) -> None:
        """In doubles, of which a float is one; what is not beyond the range when it is cut is converted."""
        to, is_signed = self.type_of(inst.results[0]), "_sint" in inst.op.name
        x = self.temporary("double", f"v{inst.args[0]}")
        kind = signed(to) if is_signed else NAMES[to]
        top = to.bits - is_signed
        # A double has 53 bits: below -2^63 and above -2^63 - 1 there is none.
        low = "-1.0" if not is_signed else f"-0x1p{top}" if top > 52 else f"-{(1 << top) + 1}.0"
        below = f"{x} {'<' if is_signed and top > 52 else '<='} {low}"
        above = f"{x} >= 0x1p{top}"
        source = f"v{inst.args[0]}"
        plain, w = NAMES[to], working(to)
        if inst.op.name.endswith("_sat"):
            least = f"({plain})(({w})1 << {top})" if is_signed else "0"
            most = f"({plain})(({w})~({w})0 >> {8 * (4 if to.bits < 32 else to.bytes) - top})"
            self.set(
                inst,
                f"{x} != {x} ? 0 : {below} ? {least} : {above} ? {most} : ({plain})({kind}){source}",
            )
        else:
            self.trap_if(f"{x} != {x}", "bad_toint")
            self.trap_if(f"{below} || {above}", "int_ovf")
            self.set(inst, f"({plain})({kind}){source}")

    def trap(self, inst: Inst) -> None:
        condition = {"trapz": "!v{}", "trapnz": "v{}"}.get(inst.op.name, "1").format(*inst.args)
        self.trap_if(condition, inst.keyword)

    # -- memory

    def _beyond(self, where: str, base: int, last: int) -> str:
        return "1" if last < 0 else f"{where} - {base:#x}ull > {last:#x}ull"

    def _place(self, address: str, offset: int, trap: str | None, width: int, foreign: bool) -> str:
        """A variable with the address that is accessed, once it was seen to be in bounds."""
        where = self.temporary("u64", f"{address} + {offset & I64.mask:#x}ull")
        if trap is not None:
            beyond = self._beyond(where, DATA_BASE, self.module.memory_size - width)
            if foreign:
                beyond = f"({beyond}) && ({self._beyond(where, STACK, STACK_SIZE - width)})"
            self.trap_if(beyond, trap)
        return where

    def _accessed(self, inst: Inst, type_: Type, address: Value) -> tuple[str, Type]:
        """Where, and as what."""
        digits = "".join(c for c in inst.op.name if c.isdigit())
        memory = {"8": I8, "16": I16, "32": I32}.get(digits, type_)
        if inst.flags.endian == "big":
            raise Unsupported("a byte order that is not the machine's")
        trap = None if address in self.own else inst.flags.trap
        return self._place(
            f"v{address}", inst.imm, trap, memory.bytes, address in self.foreign
        ), memory

    def load(self, inst: Inst) -> None:
        type_ = self.type_of(inst.results[0])
        where, memory = self._accessed(inst, type_, inst.args[0])
        place = self.temporary(NAMES[memory], "0")
        self.emit(f"memcpy(&{place}, (void *){where}, {memory.bytes});")
        cast = f"({signed(type_)})({signed(memory)})" if inst.op.name[0] == "s" else ""
        self.set(inst, f"({NAMES[type_]}){cast}{place}" if memory is not type_ else place)

    def store(self, inst: Inst) -> None:
        type_ = self.type_of(inst.args[0])
        where, memory = self._accessed(inst, type_, inst.args[1])
        value = f"v{inst.args[0]}"
        place = self.temporary(
            NAMES[memory], f"({NAMES[memory]}){value}" if memory is not type_ else value
        )
        self.emit(f"memcpy((void *){where}, &{place}, {memory.bytes});")

    def stack_addr(self, inst: Inst) -> None:
        self.set(inst, f"({NAMES[self.type_of(inst.results[0])]})(u64)ss{inst.ref} + {inst.imm}")

    def global_value(self, inst: Inst) -> None:
        base, steps = chain_of(self.function, inst.ref)
        if not isinstance(base, Parameter) or any(step.type not in (None, I64) for step in steps):
            raise Unsupported("a global value that is no i64 from the context on")
        name = f"v{self.function.entry.params[base.position]}"
        foreign = inst.results[0] in self.foreign
        for step in steps:
            trap = step.flags.trap if step.type is not None else None
            name = self._place(name, step.offset, trap, 8, foreign)
            if step.type is not None:
                place = self.temporary("u64", "0")
                self.emit(f"memcpy(&{place}, (void *){name}, 8);")
                name = place
        self.set(inst, name)

    # -- control flow

    def _edge(self, call: BlockCall) -> str:
        """All arguments are read before a parameter is written."""
        moves = [(p, a) for p, a in zip(self.params[call.block], call.args, strict=True) if p != a]
        read = "".join(f"{NAMES[self.type_of(a)]} e{p} = v{a}; " for p, a in moves)
        return f"{{ {read}{''.join(f'v{p} = e{p}; ' for p, _ in moves)}goto b{call.block}; }}"

    def jump(self, inst: Inst) -> None:
        self.emit(self._edge(inst.targets[0]))

    def brif(self, inst: Inst) -> None:
        then, other = map(self._edge, inst.targets)
        self.emit(f"if (v{inst.args[0]}) {then} else {other}")

    def br_table(self, inst: Inst) -> None:
        default, *table = map(self._edge, inst.targets)
        cases = "".join(f"case {number}: {edge} " for number, edge in enumerate(table))
        self.emit(f"switch (v{inst.args[0]}) {{ {cases}default: {default} }}")

    def nop(self, inst: Inst) -> None:
        pass


_ADDRESSES: Final = ("func_addr", "global_value", "stack_addr")


def is_translated(op: Opcode, types: Sequence[Type]) -> bool:
    """Is ``op`` translated where its operands and results are of ``types``?"""
    if op.name in _ADDRESSES and I32 in types:
        return False
    if op.name in ("umulhi", "smulhi") and I128 in types:
        return False
    return (op.name in TEMPLATES or op.name in _METHODS) and all(type_ in NAMES for type_ in types)


_METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    "iconst": Translator.iconst, **dict.fromkeys(("f32const", "f64const"), Translator.float_const),
    "icmp": Translator.icmp, "fcmp": Translator.fcmp, **dict.fromkeys(_SHIFTS, Translator.shift),
    "isplit": Translator.isplit, "bitcast": Translator.bitcast,
    **dict.fromkeys(("udiv", "sdiv", "urem", "srem"), Translator.divide),
    **dict.fromkeys([f"{s}{op}_overflow" for s in "us" for op in ("add", "sub", "mul")], Translator.overflow),
    "uadd_overflow_trap": Translator.add_trap,
    **dict.fromkeys([f"fcvt_to_{s}int{sat}" for s in "us" for sat in ("", "_sat")], Translator.to_int),
    **dict.fromkeys(("trap", "trapz", "trapnz"), Translator.trap),
    **dict.fromkeys(("load", *(f"{s}load{bits}" for s in "us" for bits in (8, 16, 32))), Translator.load),
    **dict.fromkeys(("store", "istore8", "istore16", "istore32"), Translator.store),
    "stack_addr": Translator.stack_addr, "global_value": Translator.global_value,
    "jump": Translator.jump, "brif": Translator.brif, "br_table": Translator.br_table, "nop": Translator.nop,
    **c_calls.METHODS,
}  # fmt: skip
