"""The ISAs there are, by name. An ISA is a folder here, and a row in the table below."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from backend.errors import Unsupported

if TYPE_CHECKING:
    from backend.isa.isa import Isa

_MODULES: Final = {"aarch64": "backend.isa.aarch64", "x86_64": "backend.isa.x86_64"}

ISA_NAMES: Final = tuple(_MODULES)


@cache
def isa_named(name: str) -> Isa:
    """The ISA called ``name``, imported when first asked for. Unsupported if there is none."""
    module = _MODULES.get(name)
    if module is None:
        raise Unsupported(f"no ISA {name!r}; there are {', '.join(ISA_NAMES)}")
    isa: Isa = import_module(module).ISA
    return isa
