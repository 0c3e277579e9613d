"""A reading position in a list of tokens, and what can be read at it whatever the context.

Base of the function parser and of the run-line parser. Every failure is a ParseError at a token.
"""

from __future__ import annotations

from typing import Final, NoReturn

from backend.ir import literals
from backend.ir.lexer import END, NUMBER, Tokens
from backend.ir.types import Type, type_named

MAX_ENTITY: Final = (1 << 32) - 2
"""Largest number an entity may have: the one above it is Cranelift's reserved value."""


class Cursor:
    """``text`` is the current token's; :meth:`next` steps on. The END token is never stepped over."""

    __slots__ = ("at", "dynamic_types", "text", "tokens")

    def __init__(self, tokens: Tokens, at: int = 0) -> None:
        self.tokens = tokens
        self.at = at
        self.text = tokens.texts[at]
        #: ``dtN``: the dynamic vector types declared so far
        self.dynamic_types: dict[int, Type] = {}

    def next(self) -> str:
        """The current token's text, which is left behind."""
        text = self.text
        if self.at + 1 < len(self.tokens.texts):
            self.at += 1
            self.text = self.tokens.texts[self.at]
        return text

    def peek(self) -> str:
        """The text of the token after the current one."""
        texts = self.tokens.texts
        return texts[self.at + 1] if self.at + 1 < len(texts) else ""

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise self.tokens.error(message, self.tokens.offsets[self.at if at is None else at])

    def expected(self, what: str) -> NoReturn:
        if self.tokens.kinds[self.at] == END:
            self.fail(f"expected {what}, found the end")
        text = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        shown = text if text.isprintable() and text.isascii() else ascii(text)
        self.fail(f"expected {what}, found {shown}")

    def take(self, text: str) -> None:
        """Step over exactly this token."""
        if self.text != text:
            self.expected(f"'{text}'")
        self.next()

    def accept(self, text: str) -> bool:
        """Step over this token if it stands here."""
        if self.text != text:
            return False
        self.next()
        return True

    # -- entities and names ------------------------------------------------------------------------------

    def at_entity(self, prefix: str) -> bool:
        """Does an entity like ``v7`` stand here?"""
        text, length = self.text, len(prefix)
        return text[:length] == prefix and text[length:].isdigit() and text.isascii()

    def entity(self, prefix: str) -> int:
        """The number of the entity ``<prefix>N`` that has to stand here."""
        digits = self.text[len(prefix) :]
        if not self.at_entity(prefix):
            self.expected(f"{prefix}0, {prefix}1, ...")
        if digits[0] == "0" and len(digits) > 1:
            self.fail(f"{prefix}{digits[:20]}: no leading zeros")
        if len(digits) > 10 or int(digits) > MAX_ENTITY:
            self.fail(f"{prefix}{digits[:20]}: the largest number is {MAX_ENTITY}")
        self.next()
        return int(digits)

    def external_name(self) -> str:
        """``%name``, ``uN:N`` or ``userextnameN``, as canonical text."""
        if self.text[:1] == "%":
            return self.next()
        if self.at_entity("userextname"):
            return f"userextname{self.entity('userextname')}"
        if not self.at_entity("u"):
            self.expected("a name: %f, u0:0 or userextname0")
        namespace = self.entity("u")
        self.take(":")
        return f"u{namespace}:{self.unsigned(32)}"

    # -- literals ------------------------------------------------------------------------------------------

    def number_text(self, what: str) -> str:
        if self.tokens.kinds[self.at] != NUMBER:
            self.expected(what)
        return self.text

    def unsigned(self, width: int) -> int:
        """An unsigned number below 2^width."""
        text = self.number_text("a number")
        try:
            value = literals.parse_uint(text, width)
        except ValueError as error:
            self.fail(str(error))
        self.next()
        return value

    def integer(self, width: int) -> int:
        """An integer immediate, as ``width`` unsigned bits."""
        text = self.number_text("an integer")
        try:
            value = literals.parse_int(text, width)
        except ValueError as error:
            self.fail(str(error))
        self.next()
        return value

    def float_bits(self, width: int) -> int:
        """A float literal, as ``width`` bits."""
        text = self.number_text("a float")
        try:
            value = literals.parse_float(text, width)
        except ValueError as error:
            self.fail(str(error))
        self.next()
        return value

    def offset(self) -> int:
        """An optional ``+n`` or ``-n``; 0 if none stands here."""
        if self.text[:1] not in ("+", "-") or self.tokens.kinds[self.at] != NUMBER:
            return 0
        try:
            value = literals.parse_offset(self.text)
        except ValueError as error:
            self.fail(str(error))
        self.next()
        return value

    def lanes(self, type_: Type) -> bytes:
        """``[l0 l1 ...]``, as little-endian bytes."""
        at = self.at
        self.take("[")
        texts: list[str] = []
        while self.text != "]":
            texts.append(self.number_text("a lane or ']'"))
            self.next()
            if len(texts) > type_.lanes:
                break
        try:
            data = literals.parse_lanes(texts, type_)
        except ValueError as error:
            self.fail(str(error), at)
        self.take("]")
        return data

    def vector(self, type_: Type) -> bytes:
        """A vector literal, lanes or hex, as little-endian bytes."""
        if self.text == "[":
            return self.lanes(type_)
        return self.hex_bytes(type_.bytes)

    def hex_bytes(self, size: int | None) -> bytes:
        """A hex constant as little-endian bytes, zero-extended to ``size`` if that is given."""
        text = self.number_text("a constant like 0x00ff or [1 2 3 4]")
        try:
            data = literals.parse_hex_bytes(text, size)
        except ValueError as error:
            self.fail(str(error))
        self.next()
        return data

    def type(self) -> Type:
        """A type's name, or a dynamic type that was declared."""
        if self.at_entity("dt"):
            at, number = self.at, self.entity("dt")
            found = self.dynamic_types.get(number)
            if found is None:
                self.fail(f"dt{number} is not declared", at)
            return found
        try:
            found = type_named(self.text)
        except ValueError:
            self.expected("a type")
        self.next()
        return found
