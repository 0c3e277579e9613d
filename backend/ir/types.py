"""CLIF's types: interned objects, compared with ``is``.

A type is a lane type times a number of lanes; a scalar has one lane. Lane 0 is the least
significant one and sits at the lowest address. A dynamic vector (``i32x4xN``) has its minimum
lane count here and ``dynamic`` set; only aarch64 knows them.

Source: cranelift-codegen's ``ir/types.rs`` as described in the CLIF reference.
"""

from __future__ import annotations

from typing import Final


class Type:
    """One interned CLIF type. Never construct one: use the constants or :func:`type_named`.

    ``bits`` and ``bytes`` are of the whole value, ``mask`` is ``2**bits - 1``; ``index`` is a small
    dense number that tables can be keyed by.
    """

    __slots__ = ("bits", "bytes", "dynamic", "index", "is_float", "is_int", "lane", "lanes",
                 "mask", "name", "sign")  # fmt: skip

    def __init__(self, name: str, lane: Type | None, bits: int, lanes: int, dynamic: bool) -> None:
        self.name = name
        self.lane: Type = self if lane is None else lane
        self.bits = bits * lanes
        self.bytes = self.bits // 8
        self.lanes = lanes
        self.dynamic = dynamic
        self.is_int = self.lane.name[0] == "i" and lanes == 1
        self.is_float = self.lane.name[0] == "f" and lanes == 1
        self.mask = (1 << self.bits) - 1
        self.sign = 1 << (self.bits - 1)
        self.index = len(_INTERNED)

    @property
    def is_vector(self) -> bool:
        return self.lanes > 1

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return type_named, (self.name,)

    def __copy__(self) -> Type:
        return self

    def __deepcopy__(self, memo: object) -> Type:
        return self


_INTERNED: dict[str, Type] = {}


def _scalar(name: str) -> Type:
    made = Type(name, None, int(name[1:]), 1, False)
    _INTERNED[name] = made
    return made


I8: Final = _scalar("i8")
I16: Final = _scalar("i16")
I32: Final = _scalar("i32")
I64: Final = _scalar("i64")
I128: Final = _scalar("i128")
F16: Final = _scalar("f16")
F32: Final = _scalar("f32")
F64: Final = _scalar("f64")
F128: Final = _scalar("f128")

INTS: Final = (I8, I16, I32, I64, I128)
FLOATS: Final = (F16, F32, F64, F128)
SCALARS: Final = INTS + FLOATS

MAX_LANES: Final = 256


def vector(lane: Type, lanes: int, *, dynamic: bool = False) -> Type:
    """The vector of ``lanes`` (a power of two, 2..256) times a scalar ``lane``."""
    name = f"{lane.name}x{lanes}" + ("xN" if dynamic else "")
    found = _INTERNED.get(name)
    if found is None:
        if lane.lanes != 1 or not 2 <= lanes <= MAX_LANES or lanes & (lanes - 1):
            raise ValueError(f"no such type: {name}")
        found = Type(name, lane, lane.bits, lanes, dynamic)
        _INTERNED[name] = found
    return found


def type_named(name: str) -> Type:
    """The type that CLIF text calls ``name``; ValueError if there is none."""
    found = _INTERNED.get(name)
    if found is not None:
        return found
    lane_name, _, rest = name.partition("x")
    lane = _INTERNED.get(lane_name)
    count, _, tail = rest.partition("x")
    if (lane is None or tail not in ("", "N") or rest.endswith("x")
            or not count.isascii() or not count.isdigit() or count[0] == "0"
            or len(count) > 3):  # fmt: skip
        raise ValueError(f"no such type: {name}")
    return vector(lane, int(count), dynamic=tail == "N")


for _lane in SCALARS:
    for _bits in (64, 128):
        if _bits // _lane.bits >= 2:
            vector(_lane, _bits // _lane.bits)


def int_of_width(bits: int) -> Type:
    """The scalar integer of ``bits`` bits."""
    return _INTERNED[f"i{bits}"]


def _relane(type_: Type, lane: Type, lanes: int) -> Type:
    return lane if lanes == 1 else vector(lane, lanes, dynamic=type_.dynamic)


def truthy(type_: Type) -> Type:
    """What a comparison of ``type_`` gives: i8 for a scalar, integer lanes of the same width."""
    return I8 if type_.lanes == 1 else _relane(type_, int_of_width(type_.lane.bits), type_.lanes)


def double_width(type_: Type) -> Type:
    """Twice the lane's bits, the same number of lanes (``iconcat``)."""
    return _relane(type_, type_named(f"{type_.lane.name[0]}{type_.lane.bits * 2}"), type_.lanes)


def half_width(type_: Type) -> Type:
    """Half the lane's bits, the same number of lanes (``isplit``)."""
    return _relane(type_, type_named(f"{type_.lane.name[0]}{type_.lane.bits // 2}"), type_.lanes)


def merge_lanes(type_: Type) -> Type:
    """Lanes twice as wide, half as many (``swiden_low``)."""
    return _relane(type_, double_width(type_.lane), type_.lanes // 2)


def split_lanes(type_: Type) -> Type:
    """Lanes half as wide, twice as many (``snarrow``)."""
    return _relane(type_, half_width(type_.lane), type_.lanes * 2)


def fixed(type_: Type) -> Type:
    """The fixed-width vector that a dynamic one is a multiple of; any other type itself."""
    return vector(type_.lane, type_.lanes) if type_.dynamic else type_
