"""CLIF's types as LLVM has them."""

from __future__ import annotations

from typing import Final

from backend.errors import Unsupported
from backend.ir.entities import AbiParam
from backend.ir.types import Type

NAMES: Final = {"f32": "float", "f64": "double"}
"""LLVM's names of the types that are called otherwise in CLIF."""

EXTEND: Final = {"uext": "zext", "sext": "sext"}
"""The instruction that extends as a parameter or result promises."""


def scalar(type_: Type) -> str:
    """LLVM's name of a scalar type. Unsupported for any other."""
    if type_.is_int:
        return type_.name
    name = NAMES.get(type_.name)
    if name is None:
        raise Unsupported(f"type {type_.name}")
    return name


def size_of(name: str) -> int:
    """Bytes of what LLVM calls ``name``."""
    return {"float": 4, "double": 8}.get(name) or int(name[1:]) // 8


def passed_as(param: AbiParam) -> str:
    """The type to pass or return it as. An extension fills the whole register, where LLVM's ``signext`` may stop at
    32 bits."""
    return "i64" if param.extension and param.type.bits < 64 else scalar(param.type)
