"""What can be said of a function only once all of it was read: aliases, undefined values, types.

T of an instruction without a suffix is the type of its controlling operand, which may be defined further
down or be waiting for a type itself; a worklist finds all of them in time linear in the text.
"""

from __future__ import annotations

from backend.ir import opcodes
from backend.ir.cursor import Cursor
from backend.ir.entities import Function, Inst, Value
from backend.ir.types import Type


class Resolution:
    """Completes ``function``, whose instructions began at the tokens ``starts``.

    ``aliases``: value to (what it stands for, token); ``defined``: every value that has a definition.
    Errors are ParseErrors of ``cursor``.
    """

    __slots__ = ("aliases", "cursor", "defined", "function", "starts")

    def __init__(
        self,
        cursor: Cursor,
        function: Function,
        aliases: dict[Value, tuple[Value, int]],
        defined: set[Value],
        starts: list[int],
    ) -> None:
        self.cursor = cursor
        self.function = function
        self.aliases = aliases
        self.defined = defined
        self.starts = starts

    def run(self) -> None:
        self._resolve_aliases()
        self._check_uses()
        self._infer_types()

    def _resolve_aliases(self) -> None:
        """Replace every alias by what it stands for in the end."""
        aliases = self.aliases
        if not aliases:
            return
        final: dict[Value, Value] = {}
        for value, (target, at) in aliases.items():
            chain = [value]
            while target in aliases and target not in final:
                chain.append(target)
                if len(chain) > len(aliases):
                    self.cursor.fail(f"v{value} is an alias of itself", at)
                target = aliases[target][0]
            target = final.get(target, target)
            if target not in self.defined:
                self.cursor.fail(f"v{target} is not defined", at)
            for link in chain:
                final[link] = target
        for inst in self.function.instructions():
            inst.args = tuple([final.get(a, a) for a in inst.args])
            for call in inst.successors():
                call.args = tuple([final.get(a, a) for a in call.args])
            if isinstance(inst.data, tuple):
                inst.data = tuple(
                    [h._replace(value=final.get(h.value, h.value)) for h in inst.data]
                )

    def _check_uses(self) -> None:
        defined = self.defined
        for inst, start in zip(self.function.instructions(), self.starts, strict=True):
            for value in inst.uses():
                if value not in defined:
                    self.cursor.fail(f"v{value} is not defined", self._find(f"v{value}", start))

    def _find(self, text: str, start: int) -> int:
        """The token ``text`` at or after ``start``; ``start`` if there is none."""
        try:
            return self.cursor.tokens.texts.index(text, start, self.cursor.at)
        except ValueError:
            return start

    def _infer_types(self) -> None:
        """T of every instruction from its controlling operand, and the types of all results."""
        types = self.function.value_types
        waiting: dict[Value, list[tuple[Inst, int]]] = {}
        for inst, start in zip(self.function.instructions(), self.starts, strict=True):
            ready = [(inst, start)]
            while ready:
                inst, start = ready.pop()
                control = inst.op.control
                if inst.type is None and control is not None:
                    type_ = types.get(inst.args[control])
                    if type_ is None:
                        waiting.setdefault(inst.args[control], []).append((inst, start))
                        continue
                    inst.type = type_
                self._type_results(inst, start)
                for result in inst.results:
                    ready += waiting.pop(result, ())
        for value, left in waiting.items():
            inst, start = left[0]
            self.cursor.fail(
                f"the type of v{value} can't be told here: write {inst.op.name}.T", start
            )

    def _type_results(self, inst: Inst, start: int) -> None:
        op, results = inst.op, inst.results
        if op.results == ("...",):
            given = self._call_results(inst, start)
        else:
            try:
                given = [opcodes.resolve(term, inst.type) for term in op.results]
            except ValueError:
                self.cursor.fail(f"{op.name} has no result at type {inst.type}", start)
        if len(given) != len(results):
            self.cursor.fail(
                f"{op.name} gives {len(given)} results, {len(results)} are named", start
            )
        for value, type_ in zip(results, given, strict=True):
            assert type_ is not None  # result terms are concrete or follow from T
            self.function.value_types[value] = type_

    def _call_results(self, inst: Inst, start: int) -> list[Type | None]:
        function = self.function
        number = inst.sig
        signature = None
        if inst.ref >= 0:
            callee = function.functions.get(inst.ref)
            if callee is None:
                self.cursor.fail(
                    f"fn{inst.ref} is not declared", self._find(f"fn{inst.ref}", start)
                )
            if isinstance(callee.sig, int):
                number = callee.sig
            else:
                signature = callee.sig
        if signature is None:
            signature = function.signatures.get(number)
        if signature is None:
            self.cursor.fail(f"sig{number} is not declared", self._find(f"sig{number}", start))
        return [param.type for param in signature.returns]
