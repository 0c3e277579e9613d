"""The address space a function under test runs in. Everything not named here is unmapped.

::

    CODE    read, execute   the function, then trapping instructions to the end of what is mapped
    STUBS   read, execute   a return instruction for each function from outside
    RUNTIME read, execute   a compiled run-time library, if one was asked for (fuzzer.execute.runtime)
    DATA    read, write     the case's memory, exactly as long as it is (see fuzzer.case)
    STACK   read, write     poison; the caller's frame at the top, STACK_TOP being SP at the call
    RETURN  read, execute   where a return must land; nothing is ever executed there
"""

from __future__ import annotations

from typing import Final

from fuzzer.case import DATA_BASE, DATA_LIMIT

CODE: Final = 0x1000_0000
CODE_SIZE: Final = 0x40_0000
STUBS: Final = 0x1100_0000
"""In reach of a call from all of the code, on every ISA."""
STUBS_SIZE: Final = 0x1000
STUB: Final = 16
"""Bytes of a stub."""
RUNTIME: Final = 0x1140_0000
"""In reach of a call from all of the code, on every ISA: 20 MB at most."""
RUNTIME_SIZE: Final = 0x40_0000
DATA: Final = DATA_BASE
DATA_SIZE: Final = DATA_LIMIT
STACK: Final = 0x3000_0000
STACK_SIZE: Final = 0x1_0000
CALLER_FRAME: Final = 0x800
"""Bytes of the caller's frame above SP: stack arguments, then the canary."""
STACK_RESET: Final = 0x4000
"""Bytes at the top of the stack that get fresh poison in every run; what lies deeper gets it when
code is loaded, and holds what earlier runs of the same code left there."""
STACK_TOP: Final = STACK + STACK_SIZE - CALLER_FRAME
RETURN: Final = 0x4000_0000
RETURN_SIZE: Final = 0x1000
