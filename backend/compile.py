"""The pipeline, on one page: a CLIF function in, machine code out."""

from __future__ import annotations

from collections.abc import Sequence

from backend.ir.entities import Function
from backend.ir.printer import print_function
from backend.ir.verifier import verify
from backend.isa import isa_named
from backend.lower.driver import Lowering
from backend.lower.expand import expand
from backend.lower.homes import move_homes
from backend.machine.compiled import CompiledCode
from backend.machine.emit import Emitter, texts
from backend.machine.frame import layout_frame
from backend.machine.link import Part, link, referred
from backend.machine.places import find_places
from backend.machine.stages import print_allocated, print_bytes, print_vcode
from backend.opt.optimise import optimise
from backend.options import Options
from backend.regalloc.allocate import allocate
from backend.regalloc.checker import check_allocation

_DEFAULTS = Options()


def compile_function(
    function: Function, isa: str = "aarch64", options: Options | None = None
) -> CompiledCode:
    """Machine code of ``function`` for the ISA called ``isa``.

    VerifyError if the function is none; Unsupported if something in it is not lowered; InternalError or any
    other exception is a bug of the backend. ``function`` is not changed.
    """
    return _compile(function, isa, options or _DEFAULTS).code


def compile_module(
    functions: Sequence[Function], isa: str = "aarch64", options: Options | None = None
) -> CompiledCode:
    """Machine code of the first function and of those that it, or they, refer to by name, in one blob.

    Of several functions of a name the first counts. Raises what :func:`compile_function` does.
    """
    options = options or _DEFAULTS
    parts = [_compile(functions[0], isa, options)]
    if not parts[0].code.relocs:
        return parts[0].code
    named = {function.name: function for function in reversed(functions)}
    known = {functions[0].name}
    for part in parts:  # which grows with what is referred to
        for name in referred(part.code):
            if name in named and name not in known:
                known.add(name)
                parts.append(_compile(named[name], isa, options))
    return link(parts, isa_named(isa))


def _compile(function: Function, isa: str, options: Options) -> Part:
    target = isa_named(isa)
    env = target.env(options.registers, function.signature.callconv)

    verify(function)
    simple = expand(function, target.lacking)
    improved: set[int] = set()
    if options.opt_level == "speed":
        simple, improved = optimise(simple)
    lowering = Lowering(
        simple, target, target.rule_set.dispatch(options.disabled_rules, options.features(isa))
    )
    vcode = lowering.run()
    if options.homes != "int":
        move_homes(vcode, target, options.homes)
    allocation = allocate(vcode, env)
    if options.check_allocation:
        check_allocation(vcode, allocation, env)
    frame = layout_frame(
        simple, allocation, env, target.stack_align, vcode.outgoing, vcode.clobbers
    )
    emitter = Emitter(target, frame, options.branch_reach)
    finished = emitter.run(vcode, allocation, options)
    code = finished.code

    compiled = CompiledCode(
        isa=isa,
        code=code,
        relocs=finished.relocs,
        traps=finished.traps,
        symbols={function.name: 0},
        data_ranges=finished.data_ranges,
        texts=lambda: texts(emitter.items, finished, target),
        # What the optimiser made is no longer at the positions of the function given.
        places=None
        if options.opt_level == "speed"
        else lambda: find_places(function, simple, target, options, vcode, allocation, frame, code),
        stages={
            "clif": lambda: print_function(simple),
            "vcode": lambda: print_vcode(vcode, env),
            "alloc": lambda: print_allocated(vcode, allocation, env),
            "asm": lambda: "".join(
                f"{at:6x}:  {text}\n"
                for at, text in texts(emitter.items, finished, target, finished.base)
            ),
            "bytes": lambda: print_bytes(finished),
        },
        audit=finished.audit,
        rule_hits=lowering.hits | {len(target.rules) + number for number in improved},
        row_hits=emitter.hits | {row.index for _, row, _ in emitter.items},
    )
    return Part(compiled, finished)
