"""What a lowering rule's pattern says, parsed: a small tree of instructions and operands.

::

    iadd x, (imul y, z)       an iadd one of whose operands is an imul with this iadd as its only user
    ishl x, #k                the amount is a constant, bound to k as unsigned bits of its type
    udiv x:u, #k=y:u          u: zero-extended to at least 32 bits, s: sign-extended; y: the constant
                              in a register
    select ?c, x, y           the machine's condition under which the operand is not zero
    call %v                   the SSA value itself, not put in a register
    iadd x, (load a)          a load that may as well be made where the iadd is
    store (bor (load a), x), a    a name that stands twice: the same SSA value

Alternatives of the root's opcode are separated by ``|``. An inner instruction must be pure, so that it may
be computed where its user is: never one that traps. A load is the exception: whether it may is asked of each
(:meth:`backend.lower.driver.Lowering.sinks`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from backend.ir.opcodes import Opcode, opcode_named

_TOKEN = re.compile(r"\s*([(),]|[^\s(),]+)")


@dataclass(frozen=True, slots=True)
class Leaf:
    """An operand. ``kind``: "reg", "const", "cond" or "value"; ``extend``: "", "u" or "s".

    ``register``: for a constant, the name it has when it is wanted in a register, or "".
    """

    kind: str
    name: str
    extend: str = ""
    register: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """An instruction and its operands' patterns. ``sinks``: is it a load?"""

    op: Opcode
    args: tuple[Leaf | Node, ...]

    @property
    def sinks(self) -> bool:
        return self.op.reads


@dataclass(frozen=True, slots=True)
class Pattern:
    """The root's opcodes by name (they need not be CLIF's) and the operands' patterns."""

    roots: tuple[str, ...]
    args: tuple[Leaf | Node, ...]


def parse_pattern(text: str) -> Pattern:
    """ValueError if ``text`` is no pattern or an inner opcode has effects."""
    root, _, rest = text.strip().partition(" ")
    tokens = _TOKEN.findall(rest)
    args = _parse_args(tokens)
    if tokens:
        raise ValueError(f"{text!r}: {tokens[-1]!r} is too much")
    return Pattern(tuple(root.split("|")), args)


def _parse_args(tokens: list[str]) -> tuple[Leaf | Node, ...]:
    args: list[Leaf | Node] = []
    while tokens and tokens[0] != ")":
        token = tokens.pop(0)
        if token == ",":
            continue
        if token != "(":
            args.append(_parse_leaf(token))
            continue
        op = opcode_named(tokens.pop(0))
        if op.shape != "load" and (op.side_effects or op.reads):
            raise ValueError(f"{op.name} may not move to its user")
        args.append(Node(op, _parse_args(tokens)))
        if not tokens or tokens.pop(0) != ")":
            raise ValueError(f"{op.name}: a parenthesis is open")
    return tuple(args)


def _parse_leaf(token: str) -> Leaf:
    name, _, extend = token.partition(":")
    if extend not in ("", "u", "s"):
        raise ValueError(f"{token!r}: no such extension")
    if name[0] == "#":
        name, _, register = name[1:].partition("=")
        return Leaf("const", name, extend, register)
    if name[0] == "?":
        return Leaf("cond", name[1:])
    if name[0] == "%":
        return Leaf("value", name[1:])
    return Leaf("reg", name, extend)


def orders(args: tuple[Leaf | Node, ...], commutes: bool) -> Iterator[tuple[Leaf | Node, ...]]:
    """``args`` in every order of operands that commutative opcodes allow, the given one first."""
    rests: list[tuple[Leaf | Node, ...]] = [()]
    for arg in args:
        choices: list[Leaf | Node] = (
            [replace(arg, args=order) for order in orders(arg.args, arg.op.commutes)]
            if isinstance(arg, Node)
            else [arg]
        )
        rests = [(*rest, choice) for rest in rests for choice in choices]
    for rest in rests:
        yield rest
        if commutes and len(rest) == 2 and differ(*rest):
            yield rest[::-1]


def differ(one: Leaf | Node, other: Leaf | Node) -> bool:
    """Does exchanging the two match anything new?"""
    return _shape(one) != _shape(other)


def _shape(arg: Leaf | Node) -> object:
    return arg.kind if isinstance(arg, Leaf) else (arg.op.name, *map(_shape, arg.args))


def leaves(args: tuple[Leaf | Node, ...]) -> Iterator[Leaf]:
    for arg in args:
        if isinstance(arg, Node):
            yield from leaves(arg.args)
        else:
            yield arg
