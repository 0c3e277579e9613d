"""Capstone's text, assembled by Keystone, gives the bytes back, for mnemonics Keystone is good at.

Capstone accepts some words whose should-be bits are wrong; an assembler never makes them. Keystone
fails on newer extensions and returns empty bytes with success for some, so it is asked only about
the list below, and is never the only judge of an instruction. x86-64 has several encodings for many instructions: a
target that is not known to take the assembler's may take any that reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import keystone

from fuzzer.checks.check import Check
from fuzzer.execute.decode import decode
from fuzzer.finding import Violation

if TYPE_CHECKING:
    from fuzzer.trial import Trial

_MODES: Final = {
    "aarch64": (keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN),
    "x86_64": (keystone.KS_ARCH_X86, keystone.KS_MODE_64),
}
_KNOWN_GOOD: Final = {
    "aarch64": frozenset(
        """
        add adds sub subs and ands orr orn eor eon bic bics cmp cmn tst neg mvn mov movz movn movk
        madd msub mul mneg smulh umulh smull umull sdiv udiv lsl lsr asr ror clz cls rbit rev rev16
        rev32 csel csinc csinv csneg cset csetm cinc cneg sxtb sxth sxtw uxtb uxth ubfx sbfx ubfiz
        sbfiz bfi bfxil extr ldr ldrb ldrh ldrsb ldrsh ldrsw str strb strh ldur ldurb ldurh ldursb
        ldursh ldursw stur sturb sturh ldp stp br ret nop brk
        adc adcs sbc sbcs negs ngc ccmp cinv
        fmov fadd fsub fmul fdiv fmax fmin fnmul fabs fneg fsqrt frintn frintp frintm frintz
        fmadd fmsub fnmadd fnmsub fcmp fccmp fcsel fcvt fcvtzs fcvtzu scvtf ucvtf bsl cnt addv ushr sli
        """.split()  # noqa: SIM905  # a table of words is easier to read than 70 quoted strings
    ),
    "x86_64": frozenset(
        """
        add adc or and sub sbb xor cmp test not neg lea imul mul div idiv cdq cqo rol ror shl shr sar btc bsf bsr
        bswap mov movabs movzx movsx movsxd push pop cmove cmovne cmova cmovb cmovg cmovl cmovs sete setne
        seta setae setb setbe setg setge setl setle seto ret ud2 movq movaps
        movd movss movsd addss addsd subss subsd mulss mulsd divss divsd minss minsd maxss maxsd sqrtss sqrtsd
        ucomiss ucomisd andps andnps orps xorps cvttss2si cvttsd2si cvtsi2ss cvtsi2sd cvtss2sd cvtsd2ss roundss roundsd
        setp setnp popcnt tzcnt lzcnt
        """.split()  # noqa: SIM905  # as above
    ),
}
#: operands that Keystone reads as something else: an address of its own or relative to rip
_ODD: Final = re.compile(r"\[(rip|0x|[0-9])")
#: operands of which there is a shorter encoding that Keystone takes: an immediate for al .. rax, a shift by 1
_SHORTER: Final = re.compile(r"(al|ax|eax|rax), -?[0-9]\w*|.*, 1")
#: the list holds, but Keystone reads these operands as something else: a literal's distance; 0xffff as -1
_MISREAD: Final = {
    "ldr": re.compile(r"[^\[]*"), "ldrsw": re.compile(r"[^\[]*"), "push": re.compile(r"-?[0-9]\w*"),
}  # fmt: skip

#: an immediate of all the operand's bits, which Capstone prints without a sign; the same as a byte has one
_WIDE: Final = re.compile(
    r"(\w+ (?:(e\w\w|r\d+d|dword ptr [^,]*)|[a-ds][xip]|bp|r\d+w|word ptr [^,]*), )(-?(?:0x)?[0-9a-f]+)"
)
ASSEMBLED: Final = frozenset(_MODES)
"""The ISAs that there is an assembler for."""

_DECIMAL: Final = re.compile(r"#(-?)(\d+)(?![\w.])")

_agreed: set[bytes] = set()
_MEMORY: Final = 1 << 17


@cache
def _assembler(isa: str) -> Any:
    return keystone.Ks(*_MODES[isa])


def _look(trial: Trial) -> Iterator[Violation]:
    compiled = trial.code
    isa = trial.case.isa
    if compiled is None or compiled.mixed or isa not in _MODES:
        return
    other = isa == "x86_64" and not trial.target.canonical
    good, code = _KNOWN_GOOD[isa], compiled.code
    for offset, text, word in _instructions(compiled.data_ranges, isa, code):
        mnemonic, _, operands = text.partition(" ")
        if mnemonic not in good or word in _agreed:
            continue
        if mnemonic in _MISREAD and _MISREAD[mnemonic].fullmatch(operands):
            continue
        if isa == "x86_64" and (_ODD.search(operands) or _SHORTER.fullmatch(operands)):
            continue
        back = assemble(isa, text)
        if back == word:
            if len(_agreed) >= _MEMORY:
                _agreed.clear()
            _agreed.add(word)
        elif back and not (
            other and [_signless(t) for _, t in decode(isa, back)] == [_signless(text)]
        ):
            yield Violation("reassembly", f"at {offset:#x}: {word.hex()} reads {text!r}, "
                            f"which assembles to {back.hex()}", mnemonic)  # fmt: skip


def _instructions(
    data: list[tuple[int, int]], isa: str, code: bytes
) -> Iterator[tuple[int, str, bytes]]:
    """(offset, text, bytes) of each instruction between the ranges of data."""
    start = 0
    for lo, hi in [*data, (len(code), len(code))]:
        found = decode(isa, code[start:lo])
        for number, (at, text) in enumerate(found, 1):
            end = found[number][0] if number < len(found) else lo - start
            yield start + at, text, code[start + at : start + end]
        start = hi


def _signless(text: str) -> str:
    """An instruction of x86-64 with its last immediate as bits."""
    wide = _WIDE.fullmatch(text)
    if wide is None:
        return text
    return f"{wide[1]}{int(wide[3], 0) & (1 << (32 if wide[2] else 16)) - 1:#x}"


def assemble(isa: str, text: str) -> bytes:
    """The bytes of one instruction, or b"" if Keystone refuses it.

    Decimal numbers are spelt in hexadecimal: once, which could not be repeated, Keystone 0.9.2 took ``lsl #10`` for a
    shift by 16.
    """
    spelt = _DECIMAL.sub(lambda number: f"#{number[1]}{int(number[2]):#x}", text)
    try:
        encoded, _ = _assembler(isa).asm(spelt, as_bytes=True)
    except keystone.KsError:
        return b""
    return encoded or b""


CHECK = Check("reassembly", "Keystone assembles Capstone's text to the same bytes", _look,
              costly=True)  # fmt: skip
