"""The rules of the language: types, dominance, terminators, references. What breaks one is refused.

On the compile path, so it is made to be fast: the rule of an opcode at a type is worked out once, from the
row's signature, and kept (:class:`_Rule`); dominance is asked of the graph only when a value is used
outside its block. What a function may do at run time (addresses, slot bounds) is not checked here.

Every rule that is no matter of types is a function in :mod:`backend.ir.rules`, by shape.

Source: section 5 of the language's facts; Cranelift's verifier knows the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from backend.errors import VerifyError
from backend.ir import opcodes
from backend.ir.cfg import ControlFlow
from backend.ir.entities import Block, BlockCall, Function, Inst, Signature, Value
from backend.ir.opcodes import Opcode, second_types
from backend.ir.rules import SHAPE_RULES, callee_signature
from backend.ir.types import I64, Type, fixed


def verify(function: Function) -> None:
    """VerifyError at the first rule that is broken, with its place if the function was parsed."""
    for error in _Verifier(function).run():
        raise error


def verify_all(function: Function) -> list[VerifyError]:
    """Every rule that is broken, in the order of the text; rules that rest on broken ones are skipped."""
    return list(_Verifier(function).run())


_ELSEWHERE: Final = -1
"""The operands' types come from a signature or a block."""
_WRONG: Final = -2
"""The opcode does not take this T."""


class _Rule:
    """What an opcode demands at one T. ``operands``: a type, or None for S; ``plain``: there is no S among them;
    ``fault``: T itself is wrong."""

    __slots__ = ("check", "count", "fault", "operands", "plain", "results", "seconds")

    def __init__(self, op: Opcode, type_: Type | None) -> None:
        self.fault = ""
        self.operands: list[Type | None] = []
        self.plain = False
        self.results: list[Type | None] = []
        self.seconds: frozenset[Type] = frozenset(op.second)
        self.check = SHAPE_RULES.get(op.shape)
        #: number of operands, or _ELSEWHERE, or _WRONG
        self.count = _ELSEWHERE if "..." in op.operands else len(op.operands)
        if op.polymorphic:
            if type_ is None or fixed(type_) not in op.over:
                allowed = ", ".join(t.name for t in op.over[:12])
                self.fault = f"{op.name} does not take type {type_}, but {allowed}"
                self.count = _WRONG
                return
            self.seconds = frozenset(second_types(op, type_))
        try:
            if self.count >= 0:
                self.operands = [opcodes.resolve(term, type_) for term in op.operands]
                self.plain = None not in self.operands
            if op.results != ("...",):
                self.results = [opcodes.resolve(term, type_) for term in op.results]
        except ValueError:
            self.fault = f"{op.name} does not take type {type_}"
            self.count = _WRONG


_RULES: Final[tuple[dict[Type | None, _Rule], ...]] = tuple({} for _ in opcodes.OPCODES)
"""By index of the opcode and T."""


class _Verifier:
    """One function under scrutiny; :meth:`run` yields its errors."""

    __slots__ = ("blocks", "flow", "function", "home", "inst", "number")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.blocks: dict[int, Block] = {}
        #: position of the block that defines a value
        self.home: dict[Value, int] = {}
        self.flow: ControlFlow | None = None
        self.inst: Inst | None = None
        self.number = 0

    def error(self, message: str, where: object = None) -> VerifyError:
        places = self.function.places or {}
        subject = self.inst if where is None else where
        line, column = places.get(subject, (0, 0))
        if not line and isinstance(subject, Inst):
            block = self.function.blocks[self.number]
            index = next((i for i, inst in enumerate(block.insts) if inst is subject), 0)
            message = f"block{block.id}, instruction {index} ({subject.op.name}): {message}"
        return VerifyError(message, line=line, column=column)

    def run(self) -> Iterator[VerifyError]:
        function = self.function
        if not function.blocks:
            yield self.error(f"{function.name} has no blocks", function)
            return
        broken = False
        for error in self._structure():
            broken = True
            yield error
        if broken:
            return
        if len(function.blocks) > 1:
            self.flow = ControlFlow(function)
        for number, block in enumerate(function.blocks):
            yield from self._block(number, block)

    # -- the whole function ---------------------------------------------------------------------------------

    def _structure(self) -> Iterator[VerifyError]:
        """Blocks, terminators, definitions and targets: what everything else rests on."""
        function, types, home = self.function, self.function.value_types, self.home
        yield from self._signatures()
        for number, block in enumerate(function.blocks):
            self.number = number
            if block.id in self.blocks:
                yield self.error(f"block{block.id} appears twice", block)
            self.blocks[block.id] = block
            for value in block.params:
                if value in home or value not in types:
                    yield self.error(self._bad_definition(value), block)
                home[value] = number
            insts = block.insts
            if not insts:
                yield self.error(f"block{block.id} is empty", block)
                continue
            for inst in insts:
                if inst.op.terminator and inst is not insts[-1]:
                    yield self.error(f"{inst.op.name} before the end of block{block.id}", inst)
                for value in inst.results:
                    if value in home or value not in types:
                        yield self.error(self._bad_definition(value), inst)
                    home[value] = number
            if not insts[-1].op.terminator:
                yield self.error(f"block{block.id} does not end with a terminator", insts[-1])
        entry = function.blocks[0]
        given = [types.get(v) for v in entry.params]
        if given != [param.type for param in function.signature.params]:
            wanted = ", ".join(p.type.name for p in function.signature.params)
            yield self.error(f"block{entry.id} is the entry: its parameters must be ({wanted}), as "
                             "in the signature", entry)  # fmt: skip
        if entry.cold:
            yield self.error(f"block{entry.id} is the entry, it can't be cold", entry)
        for number, block in enumerate(function.blocks):
            self.number = number
            for call in block.insts[-1].successors() if block.insts else ():
                if call.block not in self.blocks:
                    yield self.error(f"block{call.block} does not exist", block.insts[-1])
                elif call.block == entry.id:
                    yield self.error(f"block{entry.id} is the entry, it can't be branched to",
                                     block.insts[-1])  # fmt: skip

    def _bad_definition(self, value: Value) -> str:
        return f"v{value} is defined twice" if value in self.home else f"v{value} has no type"

    def _signatures(self) -> Iterator[VerifyError]:
        function = self.function
        signatures = [function.signature, *function.signatures.values()]
        signatures += [r.sig for r in function.functions.values() if isinstance(r.sig, Signature)]
        for signature in signatures:
            for type_, extension, _ in signature.params + signature.returns:
                if extension and not type_.is_int:
                    yield self.error(f"{extension} on {type_}, which is no integer", function)
            if signature.callconv == "preserve_all" and signature.returns:
                yield self.error("preserve_all functions return nothing", function)

    # -- a block ----------------------------------------------------------------------------------------------

    def _block(self, number: int, block: Block) -> Iterator[VerifyError]:
        """Types and dominance, in one pass over the instructions."""
        self.number = number
        function, types, rules = self.function, self.function.value_types, _RULES
        type_of = types.get
        annotated = bool(function.annotations)
        seen = set(block.params)
        for inst in block.insts:
            self.inst = inst
            op, args, results = inst.op, inst.args, inst.results
            rule = rules[op.index].get(inst.type)
            if rule is None:
                rule = rules[op.index][inst.type] = _Rule(op, inst.type)
            sound = True
            if rule.plain and list(map(type_of, args)) == rule.operands:
                pass
            elif len(args) == rule.count:
                for value, want in zip(args, rule.operands):  # noqa: B905  # lengths were compared
                    have = type_of(value)
                    if have is not want and (want is not None or have not in rule.seconds):
                        sound = False
                        yield self._operand_error(value, want, rule)
            elif rule.count != _ELSEWHERE:
                sound = False
                yield self.error(
                    rule.fault or f"{op.name} takes {rule.count} operands, not {len(args)}"
                )
            if sound and not seen.issuperset(args):
                for value in args:
                    if value not in seen and self._hidden(value, number):
                        yield self.error(self._why_hidden(value))
            if op.terminator and (inst.targets or inst.data is not None):
                yield from self._edges(inst, seen)
            if sound:
                if rule.check is not None:
                    message = rule.check(function, inst)
                    if message:
                        yield self.error(message)
                if list(map(type_of, results)) != rule.results:
                    yield from self._results(inst, rule)
            if results:
                seen.update(results)
            if annotated:
                yield from self._annotation(inst)

    def _results(self, inst: Inst, rule: _Rule) -> Iterator[VerifyError]:
        """What is wrong with the results, unless the rule of the shape knows them (calls)."""
        op, types = inst.op, self.function.value_types
        if op.results == ("...",):
            return
        if len(inst.results) != len(rule.results):
            yield self.error(
                f"{op.name} gives {len(rule.results)} results, not {len(inst.results)}"
            )
            return
        for value, want in zip(inst.results, rule.results, strict=True):
            if types[value] is not want:
                yield self.error(f"v{value} is {types[value]}, {op.name} gives {want}")

    def _hidden(self, value: Value, number: int) -> bool:
        """Is a value that this block has not defined so far out of reach here?"""
        home = self.home.get(value, -1)
        if home < 0 or home == number:
            return True
        flow = self.flow
        assert flow is not None  # there is a second block
        return flow.reachable(number) and not flow.dominates(home, number)

    def _why_hidden(self, value: Value) -> str:
        home = self.home.get(value, -1)
        if home < 0:
            return f"v{value} is not defined"
        if home == self.number:
            return f"v{value} is used before its definition"
        return f"v{value} is used where its definition in block{self.function.blocks[home].id} does not dominate"

    def _operand_error(self, value: Value, want: Type | None, rule: _Rule) -> VerifyError:
        have = self.function.value_types.get(value)
        if have is None:
            return self.error(f"v{value} is not defined")
        if want is None:
            names = ", ".join(sorted({t.name for t in rule.seconds}, key=lambda n: (len(n), n))[:8])
            return self.error(f"v{value} is {have}, expected one of {names or 'no type at all'}")
        return self.error(f"v{value} is {have}, expected {want}")

    def _annotation(self, inst: Inst) -> Iterator[VerifyError]:
        annotation = self.function.annotations.get(inst)
        if annotation is None:
            return
        call = "call" in inst.op.shape
        if annotation.tags and not call and inst.op.name != "sequence_point":
            yield self.error("debug tags on what is neither a call nor a sequence point")
        if annotation.stack_map and not call:
            yield self.error("a stack map on what is no call")

    # -- edges -------------------------------------------------------------------------------------------------

    def _edges(self, inst: Inst, seen: set[Value]) -> Iterator[VerifyError]:
        """Arguments of every edge against the parameters of the block it leads to."""
        types, number = self.function.value_types, self.number
        for call in inst.successors():
            target = self.blocks.get(call.block)
            if target is None:
                yield self.error(f"block{call.block} does not exist")
                continue
            if len(call.args) != len(target.params):
                yield self.error(f"block{target.id} takes {len(target.params)} arguments, "
                                 f"not {len(call.args)}")  # fmt: skip
                continue
            for value, param in zip(call.args, target.params, strict=True):
                if value < 0:
                    message = self._special_argument(inst, call, value, param)
                    if message:
                        yield self.error(message)
                    continue
                if types.get(value) is not types[param]:
                    yield self.error(f"v{value} is {types.get(value)}, but v{param} of "
                                     f"block{target.id} is {types[param]}")  # fmt: skip
                if value not in seen and self._hidden(value, number):
                    yield self.error(self._why_hidden(value))
        if isinstance(inst.data, tuple):
            for handler in inst.data:
                if handler.kind == "context" and handler.value not in seen and self._hidden(
                        handler.value, number):  # fmt: skip
                    yield self.error(self._why_hidden(handler.value))

    def _special_argument(self, inst: Inst, call: BlockCall, arg: int, param: Value) -> str:
        """``retN`` on the normal edge, ``exnN`` on the others."""
        have = self.function.value_types[param]
        exceptional = arg % 2 == 0
        normal_edge = call is inst.targets[0]
        if exceptional:
            index = (-2 - arg) // 2
            if normal_edge:
                return f"exn{index} on the normal edge"
            if index > 1:
                return f"exn{index}: there are two payloads, exn0 and exn1"
            return "" if have is I64 else f"exn{index} is i64, but v{param} is {have}"
        index = (-1 - arg) // 2
        if not normal_edge:
            return f"ret{index} on an exceptional edge"
        signature = callee_signature(self.function, inst)
        if signature is None or index >= len(signature.returns):
            return f"ret{index}: the callee does not return so many values"
        want = signature.returns[index].type
        return "" if have is want else f"ret{index} is {want}, but v{param} is {have}"
