"""Faults of LLVM that are known, so that a campaign doesn't find them again and again.

A row excludes what it describes, as unsupported and with its reason, and more where what it takes can't be told from
the function alone. Each is replayed without the exclusion, by a test or as an entry of the corpus, so that a version of
LLVM which has it no more is noticed, and the row goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.errors import Unsupported
from backend.ir.entities import Function, Signature
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import Passing, passing
from fuzzer.targets.llvm_traps import trap_number

if TYPE_CHECKING:
    from fuzzer.targets.llvm_ir import Module


class Fault(NamedTuple):
    """``isa``: where; ``levels``: of the code generator; ``selectors``: of instructions; ``how``: "call",
    "musttail call" or "function" (of blocks); ``hits(signature, placed, own)``: is such a call of a ``tailcc`` function
    of these wrong in one whose values are placed as ``own``? ``seen``: the version in which it was seen; ``thread``: of
    LLVM's on it, or ""."""

    isa: str
    levels: frozenset[int]
    how: str
    hits: Callable[[Signature, Passing, Passing], bool]
    seen: str
    what: str
    thread: str = ""
    selectors: frozenset[str] = frozenset({"graph", "fast", "global"})


def _on_stack(_: Signature, placed: Passing, own: Passing) -> bool:
    return placed.stack > 0


def _either_on_stack(_: Signature, placed: Passing, own: Passing) -> bool:
    return placed.stack > 0 or own.stack > 0


def _has_pair(signature: Signature, _: Passing, own: Passing) -> bool:
    return any(param.type is I128 for param in signature.params)


def _pair_on_stack(signature: Signature, placed: Passing, own: Passing) -> bool:
    params = signature.params
    on_stack = {piece.value for piece in placed.args if piece.register < 0}
    return any(params[value].type is I128 for value in on_stack if value < len(params))


_EVERY_LEVEL: Final = frozenset({0, 1, 2, 3})

CALL_FAULTS: list[Fault] = [
    Fault("x86_64", _EVERY_LEVEL, "musttail call", _either_on_stack, "22.1.0",
          "no stack arguments are stored, and the caller's own are left",
          "llvm-project #199224, mended by #199691"),
    Fault("aarch64", _EVERY_LEVEL, "musttail call", _has_pair, "22.1.0",
          "the halves of an i128 go to registers that are not neighbours", "llvm-project #213811",
          frozenset({"global"})),
    Fault("aarch64", frozenset({0}), "call", _on_stack, "22.1.0",
          "what is reloaded behind the call is looked for from a stack pointer that is not yet put back"),
    Fault("aarch64", _EVERY_LEVEL - {0}, "call", _on_stack, "22.1.0",
          "FastISel pops the stack arguments that the callee has popped", selectors=frozenset({"fast"})),
    Fault("x86_64", _EVERY_LEVEL, "call", _pair_on_stack, "22.1.0",
          "caller and callee do not agree in what is popped where an i128 is on the stack"),
    Fault("aarch64", _EVERY_LEVEL - {0}, "function", _on_stack, "22.1.0",
          "a path that needs no frame does not pop the stack arguments if another needs one (shrink-wrapping)"),
]  # fmt: skip


def refuse_faulty(module: Module, how: str, signature: Signature, own: Signature) -> None:
    """Unsupported if LLVM is known to compile such a call of a ``tailcc`` function, or such a function, wrongly.
    ``own``: the signature of the function in which that stands."""
    if not module.excludes:
        return
    machine = MACHINES[module.isa]
    try:
        placed, around = passing(signature, machine), passing(own, machine)
    except ValueError as error:
        raise Unsupported(str(error)) from None
    for fault in CALL_FAULTS:
        if (
            (fault.isa, fault.how) == (module.isa, how)
            and module.level in fault.levels
            and module.selector in fault.selectors
            and fault.hits(signature, placed, around)
        ):
            known = f" ({fault.thread})" if fault.thread else ""
            raise Unsupported(
                f"known fault of LLVM {fault.seen}, {how} of tailcc: {fault.what}{known}"
            )


class CaseFault(NamedTuple):
    """``isas``: where, () for all; ``hits(functions, isa)``: may one of the case's functions run into it?
    ``verifying``: only the machine verifier does; ``constant``: only where operations on constants are left, since
    nothing is optimised before instructions are selected. The others as of :class:`Fault`."""

    isas: tuple[str, ...]
    selectors: frozenset[str]
    hits: Callable[[Sequence[Function], str], bool]
    seen: str
    what: str
    verifying: bool = False
    thread: str = ""
    constant: bool = False


def _signatures(functions: Sequence[Function]) -> Iterator[Signature]:
    """Of the functions, and of those that they may call."""
    for function in functions:
        yield function.signature
        yield from function.signatures.values()
        for ref in function.functions.values():
            if isinstance(ref.sig, Signature):
                yield ref.sig


def _any_tail(functions: Sequence[Function], isa: str) -> bool:
    return any(signature.callconv == "tail" for signature in _signatures(functions))


def any_pair_on_stack(functions: Sequence[Function], isa: str) -> bool:
    """An i128 among the arguments of one of the functions, or of one that they may call, that is in memory."""
    for signature in _signatures(functions):
        params = signature.params
        if any(param.type is I128 for param in params):
            placed = passing(signature, MACHINES[isa]).args
            on_stack = {piece.value for piece in placed if piece.register < 0}
            if any(params[value].type is I128 for value in on_stack if 0 <= value < len(params)):
                return True
    return False


_CARRYING: Final = (
    "iadd",
    "isub",
    "irsub",
    "ineg",
    "iabs",
    "imul",
    "uadd",
    "sadd",
    "usub",
    "ssub",
    "umul",
    "smul",
)
"""How the names of opcodes begin that add or subtract, or may become sums."""


def _any_carry(functions: Sequence[Function], isa: str) -> bool:
    return any(
        (inst.op.name.startswith(_CARRYING) and inst.type is I128)
        or (inst.type is I64 and inst.op.name.endswith(("_cin", "_bin", "mulhi")))
        for function in functions
        for inst in function.instructions()
    )


def _any_of(
    names: tuple[str, ...], types: tuple[Type, ...]
) -> Callable[[Sequence[Function], str], bool]:
    """Is there one of these opcodes at one of these types?"""

    def hits(functions: Sequence[Function], isa: str) -> bool:
        return any(
            inst.op.name in names and inst.type in types
            for function in functions
            for inst in function.instructions()
        )

    return hits


def _any_bounded(functions: Sequence[Function], isa: str) -> bool:
    """A conversion to an unsigned integer, and a ``umin`` with a constant 0."""
    for function in functions:
        opcodes = {inst.op.name for inst in function.instructions()}
        if "umin" in opcodes and not opcodes.isdisjoint(("fcvt_to_uint", "fcvt_to_uint_sat")):
            zeros = {inst.results[0] for inst in function.instructions()
                     if inst.op.name == "iconst" and not inst.imm}  # fmt: skip
            if any(
                inst.op.name == "umin" and not zeros.isdisjoint(inst.args)
                for inst in function.instructions()
            ):
                return True
    return False


def _any_lost(functions: Sequence[Function], isa: str) -> bool:
    """A function that never returns the several results that it has: by what is written, or if a trap that is
    conditional is taken always."""
    for function in functions:
        if len(function.signature.returns) > 1:
            names = [inst.op.name for inst in function.instructions()]
            if "return" not in names or any("trap" in name for name in names):
                return True
    return False


def _any_high_trap(functions: Sequence[Function], isa: str) -> bool:
    return any(
        inst.op.name.endswith(("trap", "trapz", "trapnz")) and trap_number(inst.keyword) > 127
        for function in functions
        for inst in function.instructions()
    )


_NUMBERS: Final = ("f32const", "f64const", "fcvt_from_sint", "fcvt_from_uint")
"""Opcodes whose results LLVM knows to be no NaN."""


def _any_minimum(functions: Sequence[Function], isa: str) -> bool:
    """A select between what a comparison compares, one of which is a number; equal constants are the same."""
    for function in functions:
        numbers = {
            inst.results[0]: f"{inst.op.name} {inst.imm} {inst.args}"
            for inst in function.instructions()
            if inst.op.name in _NUMBERS
        }

        def same(values: Sequence[int], numbers: dict[int, str] = numbers) -> frozenset[object]:
            return frozenset(numbers.get(value, value) for value in values)

        compared = {
            inst.results[0]: same(inst.args)
            for inst in function.instructions()
            if inst.op.name == "fcmp"
            and inst.keyword[-2:] in ("lt", "le", "gt", "ge")
            and not numbers.keys().isdisjoint(inst.args)
        }
        for inst in function.instructions():
            if inst.op.name == "select" and inst.type in (F32, F64):
                condition, *arms = inst.args
                if compared.get(condition) == same(arms):
                    return True
    return False


def _any_narrow_rotate(functions: Sequence[Function], isa: str) -> bool:
    """One of which something is computed: rotating alone is right."""
    for function in functions:
        rotated = {
            inst.results[0]
            for inst in function.instructions()
            if inst.op.name.startswith(("rotl", "rotr")) and inst.type in (I8, I16)
        }
        if rotated and any(
            inst.results and not rotated.isdisjoint(inst.args) for inst in function.instructions()
        ):
            return True
    return False


def _any_counted_comparison(functions: Sequence[Function], isa: str) -> bool:
    """One of floats whose result is more than a condition."""
    for function in functions:
        found = {inst.results[0] for inst in function.instructions() if inst.op.name == "fcmp"}
        for inst in function.instructions():
            used = inst.args[1:] if inst.op.name in _CONDITIONAL else inst.args
            passed = (value for call in inst.targets for value in call.args)
            if found and not found.isdisjoint((*used, *passed)):
                return True
    return False


_BRANCHING: Final = ("brif", "trapz", "trapnz")
_CONDITIONAL: Final = (*_BRANCHING, "select")
_ORDERS: Final = tuple(f"{sign}{order}" for sign in "us" for order in ("lt", "le", "gt", "ge"))


def _any_order_to_zero(functions: Sequence[Function], isa: str) -> bool:
    """By which a branch or a trap is decided; or to 1 or -1: who is at most -1 is below 0."""
    for function in functions:
        near = {inst.results[0] for inst in function.instructions()
                if inst.op.name == "iconst" and inst.type and _is_near(inst.imm, inst.type)}  # fmt: skip
        orders = {
            inst.results[0]
            for inst in function.instructions()
            if inst.op.name.startswith("icmp")
            and inst.keyword in _ORDERS
            and (
                not near.isdisjoint(inst.args)
                if inst.op.name == "icmp"
                else inst.type is not None and _is_near(inst.imm, inst.type)
            )
        }
        if any(
            inst.op.name in _BRANCHING and inst.args[0] in orders
            for inst in function.instructions()
        ):
            return True
    return False


def _is_near(bits: int, type_: Type) -> bool:
    return bits & type_.mask in (0, 1, type_.mask)


_ALL: Final = frozenset({"graph", "fast", "global"})
_GLOBAL: Final = frozenset({"global"})

CASE_FAULTS: Final[list[CaseFault]] = [
    CaseFault(("x86_64",), _GLOBAL, _any_carry, "22.1.0",
              "GlobalISel inverts the carry from the lower to the upper half of an i128",
              thread="llvm-project #199261, which mends it"),
    CaseFault(("x86_64",), _GLOBAL, _any_tail, "22.1.0",
              "a tailcc function by GlobalISel pops no padding, which its callers take to be popped"),
    CaseFault(("x86_64",), _GLOBAL, any_pair_on_stack, "22.1.0",
              "GlobalISel splits an i128 between a register and the stack, or does not align it there"),
    CaseFault(("aarch64",), _GLOBAL, _any_narrow_rotate, "22.1.0",
              "GlobalISel takes the halves of a rotate for disjoint, which they are not where its distance is 0",
              thread="since llvm-project #172317"),
    CaseFault((), _GLOBAL, _any_high_trap, "22.1.0",
              "the machine verifier takes the number of an ubsantrap to be signed", verifying=True),
    CaseFault(("aarch64",), frozenset({"graph", "global"}), _any_minimum, "22.1.0",
              "a select of the smaller or larger one becomes fminnm or fmaxnm, which hand a signalling NaN on",
              thread="llvm-project #176624, mended by #184590"),
    CaseFault(("mips64",), _ALL, _any_of(("fcvt_to_uint_sat",), (I8, I16, I32)), "22.1.0",
              "an unsigned saturating conversion of a signalling NaN gives the upper bound: max.d makes a quiet one of "
              "it, and min.d prefers a number to that"),
    CaseFault(("mips64",), _ALL, _any_counted_comparison, "22.1.0",
              "the result of a comparison of floats, all ones on release 6, is inverted as if it were 1"),
    CaseFault(("mips64",), _ALL, _any_order_to_zero, "22.1.0",
              "a branch on an order to 0 becomes a compact one that is taken otherwise, links and destroys $ra, or "
              "can't be emitted"),
    CaseFault(("mips64",), _ALL, _any_minimum, "22.1.0",
              "a select of the smaller or larger one becomes min or max, which hand a signalling NaN on",
              thread="as llvm-project #176624"),
    CaseFault(("riscv64",), _GLOBAL, _any_of(("bswap", "bitrev"), (I64, I128)), "22.1.0",
              "GlobalISel lowers a bswap of 64 bits, with which a bitrev begins, by a mask that is sign-extended",
              thread="llvm-project #199386, mended by #199387"),
    CaseFault(("riscv64",), _GLOBAL, _any_of(("bswap", "bitrev"), (I8, I16, I32)), "22.1.0",
              "GlobalISel's matcher fails on a bswap or bitrev of a constant", constant=True),
    CaseFault((), frozenset({"graph", "fast"}), _any_bounded, "22.1.0",
              "a umin with 0 of a conversion to an unsigned integer becomes one to an integer of no bits",
              thread="as llvm-project #160611"),
    CaseFault(("arm",), _GLOBAL, _any_lost, "22.1.0",
              "GlobalISel takes no hidden argument for results if the function does not return"),
    CaseFault(("arm",), _ALL, _any_of(("fmin", "fmax"), (F32,)), "22.1.0",
              "minimum and maximum of f32 are NEON's vmin and vmax, which take a subnormal number for 0"),
    CaseFault(("arm",), _ALL, _any_of(("fmin", "fmax"), (F64,)), "22.1.0",
              "minimum and maximum of f64 leave the legalizer a type that is not legal: an assertion fails"),
]  # fmt: skip


def known_fault(
    isa: str, selector: str, optimised: bool, verifying: bool, functions: Sequence[Function]
) -> str:
    """Why a case is left out, or "". ``optimised``: is it, before instructions are selected?"""
    for fault in CASE_FAULTS:
        if (
            (not fault.isas or isa in fault.isas)
            and selector in fault.selectors
            and not (optimised and fault.constant)
            and (verifying or not fault.verifying)
            and fault.hits(functions, isa)
        ):
            known = f" ({fault.thread})" if fault.thread else ""
            return f"known fault of LLVM {fault.seen}: {fault.what}{known}"
    return ""
