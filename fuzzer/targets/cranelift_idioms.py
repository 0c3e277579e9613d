"""What the rules of Cranelift's optimiser look for, in the notation of :mod:`fuzzer.generate.idioms`.

Of operands that commute one order stands here, and others are drawn. What a rule demands of types and constants is left
out. Source: the left sides of the rules in Cranelift 0.135 (codegen/src/opts), as far as they are of integers and of
scalar floats, and of operations without memory. A rule of one instruction alone is met by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice, product
from typing import Final

from backend.ir.opcodes import opcode_named
from fuzzer.generate.idioms import Leaf, Node, parse_idiom

_ORDERS: Final = 8
"""How many orders of one are drawn at most: what is spelt with ten instructions has a thousand."""

_LOOKED_FOR: Final = """
; arithmetic
iadd (ineg x), y
ineg (isub x, y)
isub x, (ineg y)
ineg (ineg x)
imul (ineg x), (ineg y)
iabs (ineg x)
iabs (iabs x)
iadd (bnot x), 1
bnot (isub x, 1)
bnot (iadd -1, x)
fneg (fneg x)
fma (fneg x), (fneg y), z
fmul (fneg x), (fneg y)
fcvt_from_uint (uextend x)
fcvt_from_sint (sextend x)
iadd #k, (bor #k, x)
isub (iadd x, y), (bor x, y)
imul (ishl 1, x), y
iadd (isub x, y), y
isub (iadd x, y), x
isub (isub x, y), x
icmp #k, (imul #k, x)
icmp (imul #k, x), #k
iadd (iadd x, y), (ineg x)
isub (bor x, y), (band x, y)
isub (iadd x, y), (band x, y)
isub (bor x, y), (bxor x, y)
iadd (bnot x), x
isub (iadd x, y), (iadd x, z)
isub (isub x, y), (isub z, y)
isub (isub x, y), (isub x, z)
iadd (umax x, y), (umin x, y)
iadd (smax x, y), (smin x, y)
iadd (iadd x, y), (isub z, x)
isub x, (iadd x, y)
iadd (iadd (isub x, y), z), y
icmp (iadd x, y), (iadd x, y)
icmp (isub x, y), x
icmp x, (isub x, y)
icmp (iadd x, y), x
icmp x, (iadd x, y)
icmp (ineg x), (ineg y)
ineg (imul (ineg x), y)
icmp (smax x, y), x
icmp x, (smax x, y)
icmp (umax x, y), x
icmp x, (umax x, y)
icmp x, (smin x, y)
icmp (smin x, y), x
icmp x, (umin x, y)
icmp (umin x, y), x
smax (smax x, y), x
umax (umax x, y), x
smin (smin x, y), x
umin (umin x, y), x
smin (smax x, y), x
umin (umax x, y), x
smax (smin x, y), x
umax (umin x, y), x
smin (smax x, y), (smin x, y)
smin (smax x, y), (umin x, y)
smin (smin x, y), (umax x, y)
smin (umax x, y), (umin x, y)
umin (smax x, y), (smin x, y)
umin (smax x, y), (umin x, y)
umin (smin x, y), (umax x, y)
umin (umax x, y), (umin x, y)
smax (smax x, y), (smin x, y)
smax (smax x, y), (umin x, y)
smax (smin x, y), (umax x, y)
smax (umax x, y), (umin x, y)
umax (smax x, y), (smin x, y)
umax (smax x, y), (umin x, y)
umax (smin x, y), (umax x, y)
umax (umax x, y), (umin x, y)
imul #k, (ineg x)
ineg (bnot x)
bnot (ineg x)
; bitops
bxor (bnot x), x
bor (bnot x), x
band (bnot x), x
bxor (band x, y), (bxor x, y)
bnot (bnot x)
bor (band x, y), (bnot x)
bor #k, (band #k, x)
sshr (bor (ineg x), x), #k
sextend (bmask x)
ireduce (bmask x)
bswap (bswap x)
bitrev (bitrev x)
bor (bor (band (ushr x, 8), 65280), (ushr x, 24)), (bor (ishl (band 65280, x), 8), (ishl x, 24))
bor (bor (bor (band (ushr x, 24), 16711680), (band (ushr x, 8), 4278190080)), (bor (band (ushr x,
    40), 65280), (ushr x, 56))), (bor (bor (ishl (band 16711680, x), 24), (ishl (band 4278190080,
    x), 8)), (bor (ishl (band 65280, x), 40), (ishl x, 56)))
bxor (band x, y), (bor x, y)
bor (bor x, y), x
band (band x, y), x
band (bxor (bnot x), y), y
iadd (band x, y), (bxor x, y)
iadd (band x, y), (bor x, y)
bor (band x, y), x
bxor (bxor x, y), x
bxor (band x, y), (band x, z)
bor (band x, y), (bnot (bxor x, y))
iadd (bor x, y), (ineg x)
band (bor x, y), x
band (bor x, y), (bor x, z)
bor (band x, y), (band x, z)
bxor (bor (bnot x), y), (bor x, y)
band (bnot x), (bnot y)
bor (bnot x), (bnot y)
bor (bxor (bxor x, y), z), x
icmp (bxor x, y), (bxor x, z)
bor (bnot (bor x, y)), x
band (bnot (band x, y)), x
bxor (bnot x), (bor x, y)
bor (icmp x, y), (icmp x, y)
bor (icmp x, y), (icmp y, x)
bnot (band (bnot x), y)
bnot (bor (bnot x), y)
bor (bxor (bxor x, y), z), (bxor x, y)
bor (bxor x, y), x
bnot (iadd (bnot x), y)
bor (bor x, y), (bxor x, z)
bxor (bor x, y), (bxor x, y)
bor (band (bxor x, y), z), x
bor (band (bnot x), y), (band x, y)
band (bor (bnot x), y), (bor x, y)
bor (bnot x), (bxor x, y)
bor (band (bor x, y), z), x
band (bor (band x, y), z), x
bor (bxor (band x, y), z), x
band (bor (bnot x), y), x
bor (band (bnot x), y), x
isub (band (bnot x), y), (band x, y)
isub (band x, y), (band (bnot x), y)
bor (band (bnot x), y), (band (bnot y), x)
bor (band (bnot x), y), (bxor x, y)
bxor (band (bnot x), y), (bnot y)
bxor (band (bnot x), y), x
band (bnot (bxor x, y)), (bor x, y)
bor (bnot (bxor x, y)), x
bor (bxor (bnot x), y), x
band (bnot (bxor x, y)), x
band (bxor (bnot x), y), x
bor (bor x, y), (bxor x, y)
band (bxor (bxor x, y), z), (bxor x, z)
bxor (band (bnot x), y), z
isub (bnot x), (bnot y)
bor (band (bnot x), y), (bnot (bor x, y))
band (bnot (band x, y)), (bor (bnot x), y)
bor (band x, y), (bnot (bor x, y))
bxor (bor (bnot x), y), (bxor x, y)
icmp (band (bnot x), y), (bnot x)
icmp (bnot x), (band (bnot x), y)
icmp x, (band x, y)
icmp (band x, y), x
icmp (bor x, y), x
icmp x, (bor x, y)
; cprop
iadd #k, (iadd #k, x)
isub (isub x, #k), #k
isub (isub #k, x), #k
isub (iadd #k, x), #k
iadd #k, (isub x, #k)
iadd #k, (isub #k, x)
imul #k, (imul #k, x)
bor #k, (bor #k, x)
band #k, (band #k, x)
bxor #k, (bxor #k, x)
umin #k, (umin #k, x)
umax #k, (umax #k, x)
smin #k, (smin #k, x)
smax #k, (smax #k, x)
bnot (iadd #k, x)
; extends
uextend (uextend x)
sextend (sextend x)
sextend (uextend x)
ireduce (ineg x)
ireduce (bnot x)
ireduce (iadd x, y)
ireduce (isub x, y)
ireduce (imul x, y)
ireduce (bor x, y)
ireduce (bxor x, y)
ireduce (band x, y)
iconcat x, (sshr x, 63)
ireduce (ireduce x)
; icmp
icmp (iadd x, y), (iadd x, z)
icmp (isub x, y), (isub z, w)
select (uextend (icmp x, y)), z, w
band (icmp x, y), 1
band (uextend (icmp x, y)), 1
band (icmp x, y), (icmp x, y)
icmp x, (bxor x, y)
icmp (select (icmp x, y), x, y), x
icmp (bnot x), (bnot y)
bxor (icmp x, y), (icmp y, x)
bxor (icmp x, y), (icmp x, y)
band (icmp x, #k), (icmp x, #k)
band (icmp #k, x), (icmp #k, x)
band (icmp x, -1), (icmp y, x)
band (icmp x, -1), (icmp x, y)
band (icmp -1, x), (icmp y, x)
band (icmp -1, x), (icmp x, y)
icmp (ctz x), 0
icmp (clz x), 0
icmp (bnot x), x
; selects
select (icmp x, y), 0, #k
select (icmp x, y), 1, 0
select (icmp x, y), x, y
select (icmp x, y), y, x
bitselect (icmp x, y), x, y
bitselect (icmp x, y), y, x
bor (band (bnot x), y), (band x, z)
select (icmp x, 0), x, (ineg x)
select (icmp x, 0), (ineg x), x
iadd #k, (select x, #k, #k)
select x, y, (select x, z, w)
select x, (select x, y, z), w
select (bor (icmp x, y), z), x, y
select (bor (icmp x, y), z), y, x
select (icmp x, y), x, (bor x, y)
select (icmp x, y), (bor x, y), x
select (icmp x, y), y, (bor x, y)
select (icmp x, y), (bor x, y), y
select (icmp x, y), (band x, y), y
select (icmp x, y), y, (band x, y)
select (icmp x, y), (band x, y), x
select (icmp x, y), x, (band x, y)
select (icmp x, y), 1, (icmp x, y)
select (icmp x, y), (icmp x, y), 1
select (icmp x, y), 1, (icmp y, x)
select (icmp x, y), (icmp y, x), 1
select x, 1, (bor x, y)
select (icmp x, #k), (isub y, #k), (isub y, x)
select (icmp x, #k), (isub y, x), (isub y, #k)
select (icmp #k, x), (isub y, #k), (isub y, x)
select (icmp #k, x), (isub y, x), (isub y, #k)
select x, (icmp y, z), (icmp #k, z)
select x, (icmp y, z), (icmp z, #k)
select x, (icmp y, z), (icmp #k, y)
select x, (icmp y, z), (icmp y, #k)
; shifts
ishl (ushr x, #k), #k
ishl (sshr x, #k), #k
ushr (ishl x, #k), #k
sshr (ishl x, #k), #k
ineg (ushr x, #k)
ishl x, (uextend y)
ishl x, (sextend y)
ushr x, (uextend y)
ushr x, (sextend y)
sshr x, (uextend y)
sshr x, (sextend y)
rotr x, (uextend y)
rotr x, (sextend y)
rotl x, (uextend y)
rotl x, (sextend y)
ishl x, (iconcat y, z)
ushr x, (iconcat y, z)
sshr x, (iconcat y, z)
rotr x, (iconcat y, z)
rotl x, (iconcat y, z)
ishl (ishl x, #k), #k
ushr (ushr x, #k), #k
sshr (sshr x, #k), #k
rotl (rotr x, y), y
rotr (rotl x, y), y
rotl (rotl x, #k), y
rotl (rotl x, y), #k
rotr (rotr x, #k), y
rotr (rotr x, y), #k
rotr (rotl x, #k), y
rotr (rotl x, y), #k
rotl (rotr x, #k), y
rotl (rotr x, y), #k
rotr #k, (select x, #k, #k)
bor (ishl x, #k), (ushr x, #k)
band (ishl x, y), (ishl z, y)
isub (ishl x, y), (ishl z, y)
iadd (ishl x, y), (ishl z, y)
ushr (band (ishl x, y), z), y
; spaceship
select (icmp x, y), 0, (select (icmp x, y), -1, 1)
select (icmp x, y), 0, (select (icmp x, y), 1, -1)
select (icmp x, y), 1, (ineg (icmp x, y))
select (icmp x, y), 1, (bmask (icmp x, y))
; vector
"""


@cache
def idioms() -> tuple[str, ...]:
    """Each in the orders of operands that commute, the first few of them."""
    whole = _LOOKED_FOR.replace("\n    ", " ")
    lines = [line for line in whole.splitlines() if line and line[0] != ";"]
    nodes = [node for line in lines if (node := parse_idiom(line)) is not None]
    return tuple(
        dict.fromkeys(_text(order) for node in nodes for order in islice(_orders(node), _ORDERS))
    )


def _orders(node: Node | Leaf) -> Iterator[Node | Leaf]:
    if isinstance(node, Leaf):
        yield node
        return
    commute = all(opcode_named(name).commutes for name in node.opcodes)
    for args in product(*[list(_orders(arg)) for arg in node.args]):
        yield Node(node.opcodes, args)
        if commute:
            yield Node(node.opcodes, (args[1], args[0], *args[2:]))


def _text(node: Node | Leaf) -> str:
    if isinstance(node, Leaf):
        return node.name or ("#k" if node.constant is None else str(node.constant))
    args = [f"({_text(arg)})" if isinstance(arg, Node) else _text(arg) for arg in node.args]
    return f"{'|'.join(node.opcodes)} {', '.join(args)}"
