"""The generator: one random CLIF function, valid by construction.

It is a recursive walk over *regions*, straight-line runs of items that end where they began: an item is
an operation, a memory access, or a structure with regions inside (if, switch, loop). Values in reach
are kept by type in the order they were made; leaving a region forgets what was made in it, so
definitions dominate uses without ever being checked.

What makes it shrink (measured: 5 instructions left where a plain composite leaves 30):

- an item's span holds its own continue-boolean, so deleting the span leaves a valid program;
- the operation is drawn before its operands, from a weighted table, simplest first;
- an operand is a number 0..15: 0 is a constant, most are a distance from the newest value of its
  type, wrapping, and the last is an expression of its own, used once, which is what
  instruction selectors fold; deleting something never misaligns what follows;
- every drawn number decodes to something valid.

Half of the functions are of integers of up to 64 bits alone. The others have some of i128, f32 and f64 besides:
the header says which (:mod:`fuzzer.generate.catalogue`).

What keeps it defined: loops count trips in a value of their own, slot bytes are written before any
read, slot accesses stay inside their slot, stack addresses are never put among the values, and NaNs whose bits
the language leaves open never go where those bits would matter (:mod:`fuzzer.generate.draft`).
Accesses to the data region may go astray on purpose: that is a trap, and traps are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from backend.ir.entities import AbiParam, Function, Signature, StackSlot, Value
from backend.ir.opcodes import opcode_named
from backend.ir.types import I64, Type
from fuzzer.generate import calls, idioms, memory, structures
from fuzzer.generate.calls import Callee
from fuzzer.generate.catalogue import DRAWS, Catalogue
from fuzzer.generate.constants import draw_bits, float_bits, small_number
from fuzzer.generate.draft import KEYWORDS, Draft, Limits
from fuzzer.generate.operations import (
    CALL,
    CONVERT,
    DIVIDE,
    EXTENSIONS,
    FAMILY_COUNT,
    SELECT,
    TYPES,
    Form,
    Operation,
)
from fuzzer.generate.source import Source
from fuzzer.generate.structures import DRAWN_TRAPS

# Span labels: what Hypothesis may delete or reorder as a whole.
ITEM: Final = 101
PARAMETER: Final = 102
RESULT: Final = 103
HEADER: Final = 105

_BAND: Final = opcode_named("band")
_BOR: Final = opcode_named("bor")
_FABS: Final = opcode_named("fabs")
_FCMP: Final = opcode_named("fcmp")
_ICMP: Final = opcode_named("icmp")
_ISHL: Final = opcode_named("ishl")
_RETURN: Final = opcode_named("return")
_SELECT: Final = opcode_named("select")

_SLOT_SIZES: Final = (8, 16, 64, 32, 4, 128, 24, 600, 5000, 16000)
_WINDOW: Final = 64
"""Bytes of a slot that are written at entry and accessed afterwards."""
_CONTEXT: Final = 0.25
"""How often the pointer to the data region is the function's context, from which global values are."""
_TRUTH: Final = 0.4
"""How often the condition of a select is made of another value."""
_ALGEBRA: Final = 0.3
"""How often an operation gets operands that algebra has something to say of."""

FitsResults = Callable[[list[Type]], bool]
"""May a function have results of these types?"""


class FunctionGenerator(Draft):
    """Draws one function from a source. Use once: ``FunctionGenerator(...).draw()``."""

    def __init__(
        self, source: Source, catalogue: Catalogue, limits: Limits, fits_results: FitsResults, *,
        group: int = -1, callees: Sequence[Callee] = (), memory: bool = False, callconv: str = "",
        unpassed: frozenset[Type] = frozenset(), globals_: bool = False, ring: Sequence[Callee] = (),
    ) -> None:  # fmt: skip
        """``group``: of wide types, -1 if it is to be drawn; ``callees``: what may be called; ``memory``: one of them
        needs the data region; ``callconv``: the calling convention; ``unpassed``: types that it doesn't pass;
        ``globals_``: may there be global values? ``ring``: as :class:`Draft` has it; its first is what this function is
        to be, with pointer and convention."""
        super().__init__(source, catalogue.repertoire(0), limits)
        self.catalogue = catalogue
        self.fits_results = fits_results
        self.group = group
        self.callees = list(callees)
        self.callconv = callconv
        self.unpassed = unpassed
        self.globals_ = globals_
        self.ring = ring
        self.memory_size = 4096 if memory else 0

    # -- the whole function --------------------------------------------------------------------------

    def draw(self) -> Function:
        """The function; ``memory_size`` and ``pointer_index`` then say what memory it expects."""
        source, function = self.source, self.function
        source.start(HEADER)
        off = source.int(0, (1 << FAMILY_COUNT) - 1) if source.bool(0.5) else 0
        types_off = source.int(0, 14) if source.bool(0.25) else 0
        group = self.group
        if group < 0:
            group = self.catalogue.group(source.int(0, DRAWS - 1))
        if group:
            self._widen(group)
        off = off & ~(1 << CALL) if self.callees or self.ring else off | 1 << CALL
        self.first_trips = self.trips
        self.operations = self.repertoire.table(off)
        self.types = self.repertoire.types(types_off)
        self.integers = self.repertoire.integers(types_off)
        source.end()
        function.blocks.append(self.block)
        if self.ring:
            self._take_parameters(self.ring[0])
        else:
            self._draw_parameters()
        self._draw_slots()
        self.region()
        if calls.may_recur(self) and not self.sites:
            calls.recur(self)
        given = calls.tail_call(self, self.callconv)
        if given is None:
            returns = [self.value_types[v] for v in self._draw_results()]
        else:
            returns = [param.type for param in given]
        self._finish_early_returns(returns)
        self._shuffle_layout()
        if self.ring:
            function.signature = self.ring[0].signature
            return function
        extend = source.bool(0.25)
        params = [self._param(self.value_types[v], extend) for v in function.blocks[0].params]
        if self.context:
            params[self.pointer_index] = AbiParam(I64, "", "vmctx")
        function.signature = Signature(
            tuple(params),
            tuple([self._param(type_, extend) for type_ in returns]) if given is None else given,
            self.callconv,
        )
        return function

    def _widen(self, group: int) -> None:
        """Draw from more types than integers of up to 64 bits."""
        self.repertoire = self.catalogue.repertoire(group)
        self.floats = self.repertoire.floats
        for type_ in self.repertoire.values:
            self.scope.setdefault(type_, [])

    def _param(self, type_: Type, extend: bool) -> AbiParam:
        """A parameter or result; ``extend``: perhaps with its register's upper bits promised."""
        if not extend or type_.bits >= 64 or type_.is_float:
            return AbiParam(type_)
        return AbiParam(type_, EXTENSIONS[self.source.int(0, len(EXTENSIONS) - 1)])

    @property
    def pointer_index(self) -> int:
        """Which parameter holds the data region's address, or -1."""
        if self.pointer is None:
            return -1
        return self.function.blocks[0].params.index(self.pointer)

    def _draw_parameters(self) -> None:
        source, entry = self.source, self.function.blocks[0]
        if source.bool(0.4) or self.memory_size:
            self.memory_size = 4096
            self.pointer = self.new(I64)
            entry.params.append(self.pointer)
            self.context = self.globals_ and source.bool(_CONTEXT)
        for _ in range(self.limits.parameters):
            source.start(PARAMETER)
            more = source.bool(0.7)
            if more:
                type_ = self._draw_passed()
                value = self.new(type_)
                entry.params.append(value)
                self.scope[type_].append(value)
            source.end()
            if not more:
                break

    def _draw_passed(self) -> Type:
        """The type of a parameter or a result."""
        type_ = self.draw_type()
        return I64 if type_ in self.unpassed else type_

    def _take_parameters(self, plan: Callee) -> None:
        """The parameters of a function that was promised to be like this."""
        for place, param in enumerate(plan.signature.params):
            value = self.new(param.type)
            self.function.blocks[0].params.append(value)
            if place == plan.pointer:
                self.memory_size = 4096
                self.pointer = value
                self.context = param.purpose == "vmctx"
            elif place != plan.fuel:
                self.scope[param.type].append(value)
        calls.take_fuel(self, self.function.blocks[0].params[plan.fuel])

    def _draw_slots(self) -> None:
        source = self.source
        for number in range(3 if self.repertoire.slots else 0):
            source.start(PARAMETER)
            more = source.bool(0.2)
            if more:
                size = min(_SLOT_SIZES[source.int(0, len(_SLOT_SIZES) - 1)], self.limits.slot_bytes)
                window = min(size, _WINDOW)
                start = size - window if source.bool(0.3) else 0
                align = 1 << source.int(0, 4)
                self.function.stack_slots[number] = StackSlot(size, align)
                memory.initialise_slot(self, number, start, window, self._draw_kept(size))
            source.end()
            if not more:
                break

    def _draw_kept(self, size: int) -> Type | None:
        """The float type that alone is kept in a slot; mostly None."""
        kept = [type_ for type_ in self.repertoire.values if type_.is_float and type_.bytes <= size]
        if not kept or not self.source.bool(0.4):
            return None
        return kept[self.source.int(0, 1) % len(kept)]

    def _draw_results(self) -> list[Value]:
        source = self.source
        results: list[Value] = []
        types: list[Type] = []
        if self.ring:
            results = [self.operand(param.type) for param in self.ring[0].signature.returns]
        chance = calls.chance_of_results(source)
        loose = self.loose(self.function.blocks[0], [0] * len(self.scope))
        while not self.ring:
            source.start(RESULT)
            more = not results or source.bool(chance)
            if more:
                types.append(self._draw_result(loose))
                more = self.fits_results(types)
                if more:
                    results.append(self.gathered(types[-1], loose))
            source.end()
            if not more:
                break
        self.effect(_RETURN, None, tuple(results))
        return results

    def _draw_result(self, loose: dict[Type, list[Value]]) -> Type:
        """The type of a result: often that of a value that nothing uses."""
        types = [type_ for type_, values in loose.items() if values and type_ not in self.unpassed]
        if types and self.source.bool(0.75):
            return types[self.source.int(0, 7) % len(types)]
        return self._draw_passed()

    def _finish_early_returns(self, types: list[Type]) -> None:
        """Give the returns drawn on the way their operands, now that the result types are known."""
        for block, newest in self.early_returns:
            self.block, self.insts = block, block.insts
            args = []
            for type_ in types:
                value = newest.get(type_)
                args.append(self.constant(type_, 0) if value is None else value)
            self.effect(_RETURN, None, tuple(args))

    def _shuffle_layout(self) -> None:
        source, blocks = self.source, self.function.blocks
        if len(blocks) < 3 or not source.bool(0.15):
            return
        turn = source.int(0, 15) % (len(blocks) - 1)
        rest = blocks[1:]
        self.function.blocks = [blocks[0], *rest[turn:], *rest[:turn]]
        if source.bool(0.3):
            rest[source.int(0, 15) % len(rest)].cold = True

    def region(self) -> None:
        source = self.source
        more = self.limits.more if self.depth == 0 else 0.7
        while self.items < self.limits.items:
            source.start(ITEM)
            go = source.bool(more)
            if go:
                self.items += 1
                self._item()
            source.end()
            if not go:
                return

    def _item(self) -> None:
        operations = self.operations
        operation = operations[self.source.int(0, len(operations) - 1)]
        handler = _STRUCTURE_OF.get(operation.shape)
        if handler is not None:
            handler(self, operation)
            return
        types = operation.types
        type_ = self.draw_type()
        if type_ not in operation.forms:
            type_ = types[TYPES.index(type_) % len(types)]
        forms = operation.forms[type_]
        form = forms[0] if len(forms) == 1 else forms[self.source.int(0, 3) % len(forms)]
        self._plain(operation, form)

    def _plain(self, operation: Operation, form: Form) -> None:
        source, op = self.source, form.op
        keyword = self.draw_keyword(operation.shape)
        if operation.shape in ("cond_trap", "add_trap"):
            keyword = DRAWN_TRAPS[source.int(0, len(DRAWN_TRAPS) - 1)]
        self.expression = None
        args: list[Value] = []
        for type_ in form.operands:
            twin = self.expression
            if args and twin is not None and twin.results[0] is type_ and source.bool(0.5):
                args.append(self.nested(type_, twin))
            else:
                args.append(self.operand(type_))
        if keyword and op.shape in KEYWORDS and source.bool(0.25):
            if source.bool(0.3):
                args[0] = self.nested(form.operands[0])
            args[1] = self.constant(form.operands[1], 0)
        if operation.family == SELECT and source.bool(_TRUTH):
            args[0] = self.truth(form.operands[0])
        if operation.family == SELECT and source.bool(0.3):
            self._draw_arms(form, args)
        elif args and source.bool(_ALGEBRA):
            self._draw_algebra(form, args)
        if op.traps:
            self._tame(operation, form, args)
        results = self.made(form, args, keyword)
        for value, type_ in zip(results, form.results, strict=True):
            self.scope[type_].append(value)

    def _draw_algebra(self, form: Form, args: list[Value]) -> None:
        """An operand that algebra has something to say of, which chance brings together too seldom: one made by a
        kindred operation of what stands beside it, the same value twice (a float also negated), a neutral element."""
        source = self.source
        place = source.int(0, 1) % len(args)
        type_ = form.operands[place]
        way = source.int(0, 7)
        if way < 6:
            kindred = self.repertoire.kindred(form.op.name, type_)
            if kindred:
                inner = kindred[source.int(0, len(kindred) - 1)]
                number = source.int(0, 9)
                args[place] = self._made_of(inner, args[place], args[place - 1], number)
                if len(args) > 1 and source.bool(0.4):
                    args[place - 1] = self.number(form.operands[place - 1], number)
        elif way == 6:
            if form.operands[place - 1] is type_:
                same = args[place - 1]
                negated = type_.is_float and source.bool(0.5)
                args[place] = self.negation(type_, same) if negated else same
        else:
            neutral = (0, type_.sign if type_.is_float else type_.mask)
            args[place] = self.constant(type_, neutral[source.int(0, 1)])

    def _made_of(self, form: Form, value: Value, other: Value, number: int) -> Value:
        """A new value of ``form``, of the two values and ``number``."""
        source, types = self.source, self.value_types
        args: list[Value] = []
        for type_ in form.operands:
            way = source.int(0, 3)
            wanted = other if way == 0 else value
            if way < 3 and types[wanted] is type_:
                args.append(wanted)
            else:
                args.append(self.number(type_, number))
        return self.made(form, args, self.draw_keyword(form.op.shape))[0]

    def _tame(self, operation: Operation, form: Form, args: list[Value]) -> None:
        """Mostly avoid a trap that would hide all that follows it."""
        if operation.family == DIVIDE:
            self._draw_divisor(form.operands[0], args)
            return
        if not self.source.bool(0.85):
            return
        type_ = form.operands[0]
        if operation.family == CONVERT:
            args[0] = self._convertible(type_, args[0], form.results[0], "sint" in form.op.name)
        elif operation.shape == "cond_trap":
            compare = "ult" if operation.name == "trapnz" else "uge"
            limit = self.constant(type_, 3)
            args[0] = self.compare(_ICMP, type_, args[0], limit, compare)
        elif operation.shape == "add_trap":
            args[1] = self.emit(_BAND, type_, (args[1], self.constant(type_, 0xFF)))

    def _convertible(self, type_: Type, value: Value, to: Type, signed: bool) -> Value:
        """What any integer type ``to`` has room for: the magnitude of the value, or a number in place of more: now and
        then the first that there is no room for."""
        magnitude = self.emit(_FABS, type_, (value,))
        limit = self.constant(type_, float_bits(type_, 2.0 ** (to.bits - 1)))
        fits = self.compare(_FCMP, type_, magnitude, limit, "lt")
        bound = 2.0 ** min(to.bits - signed, 127)
        other = float_bits(type_, (-0.5, to.bits + 0.5, 0.5, bound)[self.source.int(0, 3)])
        return self.emit(_SELECT, type_, (fits, magnitude, self.constant(type_, other)))

    def _draw_arms(self, form: Form, args: list[Value]) -> None:
        """Now and then the constants that a condition gives without a register: 0, 1, all ones."""
        for place in (-2, -1):
            type_ = form.operands[place]
            way = self.source.int(0, 7)
            if way > 4:
                last = type_.sign if type_.is_float else type_.mask
                bits = (0, small_number(type_, 1), last)[way - 5]
                args[place] = self.constant(type_, bits)

    def _draw_divisor(self, type_: Type, args: list[Value]) -> None:
        """Mostly an odd value or a constant, since a division by zero would hide all that follows; one time in eight
        -1, the divisor that can overflow, or where every fourth division does."""
        way = self.source.int(0, 7)
        if way < 4:
            args[1] = self.emit(_BOR, type_, (args[1], self.constant(type_, 1)))
        elif way < 6:
            args[1] = self.constant(type_, draw_bits(self.source, type_) or 1)
        elif way == 6 and self.source.bool(0.5):
            args[1] = self.constant(type_, type_.mask)
        elif way == 6:
            args[0] = self.shift(_ISHL, type_, args[0], type_.bits - 1)
            args[1] = self.emit(_BOR, type_, (args[1], self.constant(type_, type_.mask - 1)))

    # -- memory ------------------------------------------------------------------------------------------


_STRUCTURE_OF: Final[dict[str, Callable[[Draft, Operation], None]]] = {
    "load": memory.access,
    "store": memory.access,
    "fold": memory.fold,
    "stack_load": memory.slot_access,
    "stack_store": memory.slot_access,
    "brif": structures.branch,
    "br_table": structures.switch,
    "loop": structures.loop,
    "pressure": structures.pressure,
    "funnel": structures.funnel,
    "calls": calls.call,
    "idiom": idioms.idiom,
    "again": structures.again,
}
