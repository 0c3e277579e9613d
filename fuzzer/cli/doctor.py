"""``clifhanger doctor``."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click

from fuzzer.cli.common import fail


def _python() -> Iterator[tuple[bool, str]]:
    yield sys.version_info >= (3, 11), f"Python {platform.python_version()} on {platform.machine()}"


def _packages() -> Iterator[tuple[bool, str]]:
    for name in (
        "hypothesis",
        "unicorn",
        "capstone",
        "keystone-engine",
        "click",
        "rich",
        "msgspec",
    ):
        try:
            yield True, f"{name} {version(name)}"
        except PackageNotFoundError:
            yield False, f"{name} is missing: pip install clifhanger again"


_RUNTIME: Final = "runtime"
"""What is built that is no target's."""

_SAMPLES: Final = (
    ("aarch64", ["add x0, x0, x1", "ret"], "0000018bc0035fd6", ["sub x0, x0, x1", "ret"]),
    ("x86_64", ["lea rax, [rdi + rsi]", "ret"], "488d0437c3",
     ["mov rax, rdi", "sub rax, rsi", "ret"]),
)  # fmt: skip
"""ISA, a sum, its bytes, a difference."""


def _engines() -> Iterator[tuple[bool, str]]:
    """Each engine does one thing, end to end, that the fuzzer relies on."""
    from backend.ir.entities import AbiParam, Signature
    from backend.ir.types import I64
    from fuzzer.checks.reassembly import assemble
    from fuzzer.execute.decode import decode
    from fuzzer.execute.emulator import Emulator

    signature = Signature((AbiParam(I64), AbiParam(I64)), (AbiParam(I64),))
    for isa, texts, encoded, other in _SAMPLES:
        code = b"".join(assemble(isa, text) for text in texts)
        yield code.hex() == encoded, f"keystone assembles ({isa})"
        yield [text for _, text in decode(isa, code)] == texts, f"capstone decodes ({isa})"
        engine = Emulator(isa)
        engine.load(code, signature)
        yield engine.run((40, 2), b"").values == (42,), f"unicorn runs it ({isa})"
        engine.load(b"".join(assemble(isa, text) for text in other), signature)
        yield (
            engine.run((44, 2), b"").values == (42,),
            f"unicorn runs rewritten code, not a stale translation ({isa})",
        )


def _seconds() -> Iterator[tuple[bool, str]]:
    from fuzzer.execute.harness import HARNESSES
    from fuzzer.execute.second import second_executor, unavailable

    for isa in HARNESSES:
        found = second_executor("qemu", isa)
        why = unavailable("qemu", isa)
        yield True, f"second executor ({isa}): {found.name if found else f'not here: {why}'}"


def _runtimes() -> Iterator[tuple[bool, str]]:
    from fuzzer.execute.runtime import BUILT_FOR, blob_of, unavailable

    for isa in BUILT_FOR:
        blob = blob_of(isa)
        state = f"{len(blob.symbols)} routines" if blob else unavailable(isa)
        yield True, f"compiled run-time library ({isa}): {state}"


def _targets() -> Iterator[tuple[bool, str]]:
    from fuzzer.targets import TARGETS, TargetUnavailable, target_named, versions_here

    for name, row in TARGETS.items():
        if row.argument:
            continue
        for each in (name, *versions_here(name)):
            try:
                target = target_named(each)
                yield True, f"target {each}: {target.version}, {', '.join(target.isas)}"
            except TargetUnavailable as error:
                needs = row.extra or row.builder
                yield bool(needs), f"target {each} is not here: {error}"


_SECTIONS: tuple[Callable[[], Iterator[tuple[bool, str]]], ...] = (
    _python,
    _packages,
    _engines,
    _seconds,
    _runtimes,
    _targets,
)


def _build_runtime() -> None:
    """Build the run-time libraries, or one line and exit 2."""
    from fuzzer.execute.runtime_build import BuildError, build

    try:
        path = build(lambda line: click.echo(line, err=True))
    except BuildError as error:
        fail(f"--build {_RUNTIME}: {error}")
    click.echo(f"built {path}")
    for _, text in _runtimes():
        click.echo(f"ok   {text}")


def _build(name: str) -> None:
    """Build what a target needs, or one line and exit 2."""
    from fuzzer.targets import TARGETS, TargetUnavailable, target_named

    kind, _, version = name.partition("@")
    row = TARGETS.get(kind)
    if row is None or not (row.versions if version else row.builder):
        known = [name for name, row in TARGETS.items() if row.builder]
        known += [f"{name}@VERSION" for name, row in TARGETS.items() if row.versions]
        known.append(_RUNTIME)
        fail(f"--build: {name!r} is nothing to build; there is {', '.join(known)}")
    try:
        builder = import_module(row.versions if version else row.builder)
        arguments = [version] if version else []
        path = builder.build(lambda line: click.echo(line, err=True), *arguments)
        click.echo(f"built {path}")
        target = target_named(name)
        click.echo(f"ok   target {name}: {target.version}, {', '.join(target.isas)}")
    except TargetUnavailable as error:
        fail(f"--build {name}: {error}")


@click.command("doctor")
@click.option(
    "--build", metavar="NAME", help="Build what is needed for it: cranelift, llvm@0.44, runtime."
)
def command(build: str | None) -> None:
    """Say what works here and what is missing. Exit status 2 if something needed is."""
    if build == _RUNTIME:
        _build_runtime()
        return
    if build is not None:
        _build(build)
        return
    well = True
    for section in _SECTIONS:
        for good, text in section():
            click.echo(f"{'ok  ' if good else 'BAD '} {text}")
            well = well and good
    sys.exit(0 if well else 2)
