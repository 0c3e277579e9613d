"""CLIF as LLVM IR text, meaning for meaning.

What CLIF defines and LLVM leaves undefined is spelled out, and no flag (``nsw``, ``nuw``, ``inbounds``)
promises anything. Each CLIF edge gets a block of its own, so that a block's parameters become phis even when
one branch leads there twice. A trap is ``llvm.ubsantrap(code)``: a trapping instruction that names its code.

One row an opcode: a template over ``{t}`` (the result's or operands' type), ``{x}``, ``{y}``, ``{z}`` (operands), or a
function for what takes more than one instruction. The rows are in the files of their subjects; here is what they
share, and control flow.

All functions of a case are one module, so LLVM may inline one into another. They are visible from outside, which
keeps their calling conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from backend.errors import Unsupported
from backend.ir.entities import BlockCall, Function, Inst, Signature, Value
from backend.ir.opcodes import Opcode
from backend.ir.types import I32, Type
from fuzzer.case import byte_order_of
from fuzzer.targets import (
    llvm_calls,
    llvm_context,
    llvm_floats,
    llvm_forms,
    llvm_integers,
    llvm_memory,
)
from fuzzer.targets.llvm_marks import DECLARATION, MARKED, mark
from fuzzer.targets.llvm_pointers import Pointers
from fuzzer.targets.llvm_traps import CALLED, trap_number, trap_symbol
from fuzzer.targets.llvm_types import NAMES, scalar


class Module:
    """The functions of a case, the first of which is called by the executor. Use once.

    ``level``: of the code generator; ``selector``: ``graph``, ``fast`` or ``global``, who selects instructions there;
    ``wrapped``: is it called by way of memory where it need not be (:mod:`fuzzer.targets.llvm_context`)?
    ``excludes``: is what LLVM is known to get wrong unsupported? ``entry``: the symbol that the executor calls;
    ``declared``: lines of what is called and not defined.
    """

    def __init__(
        self, functions: Sequence[Function], isa: str, memory_size: int, level: int = 0,
        selector: str = "graph", *, wrapped: bool = False, excludes: bool = True,
    ) -> None:  # fmt: skip
        self.functions = {function.name: function for function in functions}
        self.isa = isa
        self.memory_size = memory_size
        self.level = level
        self.selector = selector
        self.excludes = excludes
        self.pointers = Pointers(functions)
        self.declared: set[str] = set()
        self.entry = functions[0].name
        #: do the executor and functions from outside call by way of memory?
        self.by_context = llvm_context.is_used(isa, wrapped=wrapped)
        self.dialect = llvm_context.dialect(isa, wrapped=wrapped)
        self._outside: dict[str, llvm_calls.Shape] = {}

    def translate(self) -> str:
        """The module's text. Unsupported for what has no translation."""
        texts = [Translator(self, function).translate() for function in self.functions.values()]
        entry = self.functions[self.entry]
        shape = self.shape_of(entry.signature)
        if self.by_context:
            llvm_calls.refuse_faulty_entry(self, entry.signature, shape)
            self.entry = llvm_context.ENTRY
            texts.append(llvm_context.entry(_symbol(entry.name), shape))
            texts += [llvm_context.outside(*each) for each in self._outside.items()]
        else:
            wrapper = llvm_calls.entry_wrapper(_symbol(entry.name), shape, self.isa)
            if wrapper:
                self.entry = "entry"
                texts.append(wrapper)
            for name, outside in self._outside.items():
                types = f"{outside.result} {_symbol(name)}({outside.types})"
                texts.append(f"declare {outside.convention}{types} #0\n")
        lines = [*sorted(self.declared), 'attributes #0 = { nounwind "no-builtins" }']
        return "\n".join([*texts, *lines]) + "\n"

    def shape_of(self, signature: Signature) -> llvm_calls.Shape:
        """Unsupported for what can't be said."""
        return llvm_calls.shape_of(signature, self.isa, self.dialect)

    def callee(self, name: str, shape: llvm_calls.Shape) -> str:
        """A function's symbol, for a call of it as ``shape``. Unsupported if it is of another elsewhere."""
        own = self.functions.get(name)
        if own is not None:
            known = self.shape_of(own.signature)
        else:
            known = self._outside.setdefault(name, shape)
            if self.by_context:
                name = llvm_context.inside(name)
        if known.interface != shape.interface:
            raise Unsupported(f"{name} is declared in more than one way")
        return _symbol(name)


def _symbol(name: str) -> str:
    return f'@"{name}"'


class Translator:
    """Translates one function of a module. Use once."""

    def __init__(self, module: Module, function: Function) -> None:
        self.module = module
        self.isa = module.isa
        self.order = byte_order_of(module.isa)
        # Values are added to it, for forms that are other opcodes.
        self.function = function.copy(share=True)
        self.shape = module.shape_of(function.signature)
        self.own_addresses = module.pointers.own[function.name]
        self.foreign_addresses = module.pointers.foreign[function.name]
        #: bytes of the frame's area for results of calls that are in no register
        self.area = 0
        self._lines: list[str] = []
        self._temporaries = 0
        self._traps = 0
        self._edges = 0
        self._incoming: dict[int, list[tuple[str, tuple[str, ...]]]] = {
            block.id: [] for block in function.blocks
        }

    def translate(self) -> str:
        """The function's text."""
        function, shape = self.function, self.shape
        for type_ in function.value_types.values():
            scalar(type_)
        bodies = []
        for block in function.blocks:
            self._lines = []
            for inst in block.insts:
                self.translate_inst(inst)
            bodies.append(self._lines)
        entry = function.blocks[0]
        if len(function.blocks) > 1:
            llvm_calls.refuse_faulty_function(self)
        params, start = llvm_calls.parameters(self)
        head = f"{shape.convention}{shape.result} {_symbol(function.name)}({params})"
        lines = [f"define dso_local {head} #0 {{", "start:"]
        for number, slot in function.stack_slots.items():
            lines.append(f"  %ss{number} = alloca [{slot.size} x i8], align {max(slot.align, 1)}")
        if self.area:
            lines.append(f"  %results = alloca [{self.area} x i8], align 16")
        lines += [*start, f"  br label %b{entry.id}"]
        for block, body in zip(function.blocks, bodies, strict=True):
            lines.append(f"b{block.id}:")
            if block is not entry:
                for index, value in enumerate(block.params):
                    lines.append(f"  {self.name_of(value)} = {self._phi(block.id, index, value)}")
            lines += body
        return "\n".join([*lines, "}"]) + "\n"

    # -- names and types ------------------------------------------------------------------------------------

    def name_of(self, value: Value) -> str:
        return f"%v{value}"

    def type_of(self, value: Value) -> str:
        return scalar(self.function.value_types[value])

    def mangled(self, value: Value) -> str:
        """A value's type in the name of an intrinsic."""
        return self.function.value_types[value].name

    def declare(self, line: str) -> None:
        """Say what an intrinsic is that is called."""
        self.module.declared.add(f"declare {line}")

    def _phi(self, block: int, index: int, value: Value) -> str:
        incoming = self._incoming[block]
        if not incoming:
            return f"freeze {self.type_of(value)} poison"
        pairs = ", ".join(f"[ {args[index]}, %{label} ]" for label, args in incoming)
        return f"phi {self.type_of(value)} {pairs}"

    # -- emitting --------------------------------------------------------------------------------------------

    def emit(self, text: str) -> None:
        self._lines.append("  " + text)

    def temporary(self, text: str) -> str:
        self._temporaries += 1
        name = f"%t{self._temporaries}"
        self.emit(f"{name} = {text}")
        return name

    def trap_if(self, condition: str, code: str) -> None:
        self._traps += 1
        trap, onward = f"trap{self._traps}", f"on{self._traps}"
        self.emit(f"br i1 {condition}, label %{trap}, label %{onward}")
        self._lines.append(f"{trap}:")
        self._trap(code)
        self._lines.append(f"{onward}:")

    def _trap(self, code: str) -> None:
        if self.isa in CALLED:
            symbol = trap_symbol(trap_number(code))
            self.declare(f"void {symbol}() noreturn nounwind")
            self.emit(f"call void {symbol}()")
            self.emit("unreachable")
            return
        self.declare("void @llvm.ubsantrap(i8)")
        # Memory at a trap is compared: without the fence, which becomes no instruction, LLVM may
        # drop a store that only code behind the trap could have seen overwritten.
        self.emit('fence syncscope("singlethread") seq_cst')
        number = trap_number(code)
        if self.isa in MARKED:
            self.declare(DECLARATION)
            self.emit(mark(number))
        self.emit(f"call void @llvm.ubsantrap(i8 {number})")
        self.emit("unreachable")

    def _edge(self, call: BlockCall, after: list[str]) -> str:
        """The label of a new block that goes on to the call's block."""
        self._edges += 1
        label = f"e{self._edges}"
        self._incoming[call.block].append((label, tuple(self.name_of(a) for a in call.args)))
        after += [f"{label}:", f"  br label %b{call.block}"]
        return label

    def translate_inst(self, inst: Inst) -> None:
        name = inst.op.name
        template = _TEMPLATES.get(name)
        if template is not None:
            self._from_template(inst, template)
            return
        method = _METHODS.get(name)
        if method is None:
            raise Unsupported(f"opcode {name}")
        method(self, inst)

    def result(self, inst: Inst, text: str, index: int = 0) -> None:
        self.emit(f"{self.name_of(inst.results[index])} = {text}")

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
        if inst.op.name in llvm_floats.FOLDED | llvm_floats.HANDED_ON.get(self.isa, frozenset()):
            llvm_floats.quieted(self, inst, self.temporary(text))
        else:
            self.result(inst, text)
        if "@" in template:
            head, _, rest = template.partition("(")
            name = head.format(**names).split()[-1]
            types = [word.split()[0].format(**names) for word in rest.rstrip(")").split(", ")]
            self.declare(f"{type_} {name}({', '.join(types)})")

    # -- control flow ------------------------------------------------------------------------------------------

    def _jump(self, inst: Inst) -> None:
        after: list[str] = []
        self.emit(f"br label %{self._edge(inst.targets[0], after)}")
        self._lines += after

    def _brif(self, inst: Inst) -> None:
        after: list[str] = []
        c = self.temporary(f"icmp ne {self.type_of(inst.args[0])} {self.name_of(inst.args[0])}, 0")
        then, other = (self._edge(call, after) for call in inst.targets)
        self.emit(f"br i1 {c}, label %{then}, label %{other}")
        self._lines += after

    def _br_table(self, inst: Inst) -> None:
        after: list[str] = []
        default, *table = (self._edge(call, after) for call in inst.targets)
        cases = " ".join(f"i32 {i}, label %{label}" for i, label in enumerate(table))
        self.emit(f"switch i32 {self.name_of(inst.args[0])}, label %{default} [{cases}]")
        self._lines += after

    def _always_trap(self, inst: Inst) -> None:
        self._trap(inst.keyword)

    def _conditional_trap(self, inst: Inst) -> None:
        compare = "eq" if inst.op.name == "trapz" else "ne"
        type_ = self.type_of(inst.args[0])
        hit = self.temporary(f"icmp {compare} {type_} {self.name_of(inst.args[0])}, 0")
        self.trap_if(hit, inst.keyword)

    def _nop(self, inst: Inst) -> None:
        pass


def is_translated(op: Opcode, types: Sequence[Type]) -> bool:
    """Is ``op`` translated where its operands and results are of ``types``?"""
    if op.name not in SUPPORTED or (op.name in ("func_addr", "global_value") and I32 in types):
        return False
    return all(type_.is_int or type_.name in NAMES for type_ in types)


_TEMPLATES: Final = llvm_integers.TEMPLATES | llvm_floats.TEMPLATES

_METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    **llvm_integers.METHODS,
    **llvm_floats.METHODS,
    **llvm_forms.METHODS,
    **llvm_memory.METHODS,
    **llvm_calls.METHODS,
    "jump": Translator._jump,
    "brif": Translator._brif,
    "br_table": Translator._br_table,
    "trap": Translator._always_trap,
    **dict.fromkeys(("trapz", "trapnz"), Translator._conditional_trap),
    "nop": Translator._nop,
}

SUPPORTED: Final = frozenset(_TEMPLATES) | frozenset(_METHODS)
"""Opcodes that have a translation."""
