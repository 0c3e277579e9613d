"""Functions that call each other, each made a program once, whoever calls it.

A name that is called is, in this order, a function beside the caller, one of the run-time library, or one from
outside the case, whose calls are recorded (:class:`fuzzer.outcome.ExternalCall`) and whose results are
:func:`fuzzer.outcome.external_result`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from backend.errors import Unsupported
from backend.ir.entities import Function, FunctionRef, Signature
from fuzzer.outcome import ExternalCall, external_result
from fuzzer.reference.library import LIBRARY, library_function
from fuzzer.reference.memory import FUNCTION_BASE, Memory
from fuzzer.reference.open_bits import parts
from fuzzer.reference.program import Outside, Program, Types
from fuzzer.reference.translate_calls import types_of

_APART: Final = 16
"""Bytes from one function's address to the next one's."""


class Linker:
    """``functions``: those there are, by name; ``externals``: others may be called too.

    ``byte_order``, ``canonical_nans``: see :func:`fuzzer.reference.evaluate.prepare`. ``open_bits``: values may have
    some. ``waiting``: functions that are called and not translated yet.
    """

    __slots__ = ("_addresses", "_outside", "_programs", "byte_order", "canonical_nans", "externals", "functions",
                 "functions_at", "open_bits", "waiting")  # fmt: skip

    def __init__(
        self,
        functions: Iterable[Function],
        byte_order: str,
        *,
        externals: bool,
        canonical_nans: bool,
    ) -> None:
        self.functions: dict[str, Function] = {}
        for function in functions:
            self.functions.setdefault(function.name, function)
        self.byte_order = byte_order
        self.externals = externals
        self.canonical_nans = canonical_nans
        known = self.functions.values()
        self.open_bits = any(map(_calls_library, known)) or (
            not canonical_nans and any(map(_has_floats, known))
        )
        self.waiting: list[tuple[Function, Program]] = []
        self.functions_at: dict[int, Program | Outside] = {}
        self._programs: dict[str, Program] = {}
        self._outside: dict[tuple[str, Types, Types], Outside] = {}
        self._addresses: dict[Program | Outside, int] = {}

    def program_of(self, function: Function) -> Program:
        """The program of a function, which may be translated later."""
        found = self._programs.get(function.name)
        if found is None:
            found = self._programs[function.name] = Program(*types_of(function.signature))
            self.waiting.append((function, found))
        return found

    def callee(self, ref: FunctionRef, signature: Signature) -> Program | Outside:
        """Who is called by a reference. Unsupported if that is nobody, or somebody of other types."""
        name = ref.name
        params, results = types_of(signature)
        function = self.functions.get(name)
        if function is not None:
            if types_of(function.signature) != (params, results):
                raise Unsupported(f"{name} is declared with another signature than it has")
            return self.program_of(function)
        key = (name, params, results)
        if key not in self._outside:
            self._outside[key] = self._find_outside(*key)
        return self._outside[key]

    def _find_outside(self, name: str, params: Types, results: Types) -> Outside:
        found = library_function(name, params, results)
        if found is not None:
            return found
        if name in LIBRARY or not self.externals:
            raise Unsupported(f"a call of {name}, which is not in the file")
        if any(t.lanes != 1 for t in (*params, *results)):
            raise Unsupported("a call with vectors")
        return external(name, params, results)

    def address_of(self, callee: Program | Outside) -> int:
        """The address of a function: one of its own, the same in every activation."""
        address = self._addresses.get(callee)
        if address is None:
            address = FUNCTION_BASE + _APART * len(self._addresses)
            self._addresses[callee] = address
            self.functions_at[address] = callee
        return address

    def symbol_address(self, name: str) -> int:
        """The address of a symbol. Unsupported if it is no function of the file."""
        function = self.functions.get(name)
        if function is None:
            raise Unsupported(f"the address of {name}, which is not in the file")
        return self.address_of(self.program_of(function))


def _has_floats(function: Function) -> bool:
    return any(t.is_float for t in set(function.value_types.values()))


def _calls_library(function: Function) -> bool:
    return any(ref.name in LIBRARY for ref in function.functions.values())


def external(name: str, params: Types, results: Types) -> Outside:
    """A function from outside the case: its calls are recorded, its results depend on their order only."""

    def run(memory: Memory, args: list[int]) -> tuple[int, ...]:
        split = [parts(arg) for arg in args]
        masks = tuple([mask for _, mask in split])
        position = len(memory.calls)
        bits = tuple([bits for bits, _ in split])
        memory.calls.append(ExternalCall(name, bits, masks if any(masks) else ()))
        return tuple([external_result(position, i) & t.mask for i, t in enumerate(results)])

    return Outside(params, results, run)
