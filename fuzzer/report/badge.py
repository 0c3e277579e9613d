"""A badge for a README: two words in a small SVG, no network, no fonts but the reader's."""

from __future__ import annotations

from html import escape
from typing import Final

_CHARACTER: Final = 7
"""Pixels that a character of 11 px takes at most."""


def badge(label: str, value: str) -> str:
    """The SVG's text."""
    left, right = _CHARACTER * len(label) + 12, _CHARACTER * len(value) + 12
    label, value = escape(label), escape(value)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}: {value}"><title>{label}: {value}</title>'
        f'<rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="#1a6334"/>'
        '<g fill="#fff" text-anchor="middle" font-family="sans-serif" font-size="11">'
        f'<text x="{left / 2}" y="14">{label}</text>'
        f'<text x="{left + right / 2}" y="14">{value}</text></g></svg>\n'
    )
