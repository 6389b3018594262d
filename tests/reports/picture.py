"""Draws a comment as a pull request shows it: an SVG of the Markdown that we write, for the page about CI.

Knows what our reports use: a heading, paragraphs, lists with code and bold words, tables, folded details, code blocks.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

WIDTH, MARGIN, LINE = 900, 24, 20
CHARACTERS = 104
_STYLE = """
text { font: 13px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
.code { font: 12px ui-monospace, SFMono-Regular, Menlo, monospace; fill: #57606a; }
.heading { font-weight: 600; font-size: 16px; } .bold { font-weight: 600; } .small { font-size: 12px; fill: #57606a; }
"""
_INLINE = re.compile(r"(`[^`]*`|\*\*[^*]+\*\*)")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the picture: cells at their columns (in characters), each a text and its class."""

    cells: tuple[tuple[float, str, str], ...]
    rule: bool = False


def svg(markdown: str, author: str = "github-actions") -> str:
    """The picture."""
    rows = list(_rows(markdown))
    height = 56 + LINE * len(rows) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<title>A plan as a comment of a pull request</title><style>{_STYLE}</style>",
        f'<rect x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="6" fill="#ffffff" stroke="#d0d7de"/>',
        f'<path d="M1 40h{WIDTH - 2}" stroke="#d0d7de"/>',
        f'<text x="{MARGIN}" y="26"><tspan class="bold">{author}</tspan>'
        ' <tspan class="small">bot commented</tspan></text>',
    ]
    for number, row in enumerate(rows):
        y = 68 + LINE * number
        if row.rule:
            parts.append(f'<path d="M{MARGIN} {y + 6}H{WIDTH - MARGIN}" stroke="#d8dee4"/>')
        for column, text, style in row.cells:
            spans = "".join(_spans(text)) if style != "code" else escape(text)
            parts.append(f'<text x="{MARGIN + column * 8:.0f}" y="{y}" class="{style}">{spans}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _spans(text: str) -> Iterator[str]:
    for piece in _INLINE.split(text):
        if piece.startswith("`"):
            yield f'<tspan class="code">{escape(piece.strip("`"))}</tspan>'
        elif piece.startswith("**"):
            yield f'<tspan class="bold">{escape(piece.strip("*"))}</tspan>'
        else:
            yield escape(piece)


def _rows(markdown: str) -> Iterator[Row]:
    fenced = folded = False
    for line in markdown.splitlines():
        text = line.strip()
        if text.startswith("<details>"):
            folded = True
            yield Row(((0, "▸ " + re.sub(r"<[^>]+>", "", text), "bold"),))
        elif text == "</details>":
            folded = False
        elif folded or text.startswith("<!--") or re.fullmatch(r"\|[-|]+\|", text):
            continue
        elif text.startswith("```"):
            fenced = not fenced
        elif fenced:
            yield Row(((2, line[:CHARACTERS], "code"),))
        elif text.startswith("|"):
            yield _table(text)
        elif text.startswith("### "):
            yield from (Row(((0, part, "heading"),)) for part in _wrapped(text[4:], 88))
        elif text.startswith("- "):
            yield from _item(text[2:].replace(":no_entry:", "⛔"))
        else:
            yield from (Row(((0, part, ""),)) for part in _wrapped(text) or [""])


def _item(text: str) -> Iterator[Row]:
    for number, part in enumerate(_wrapped(text)):
        bullet: tuple[tuple[float, str, str], ...] = ((0.5, "•", ""),) if number == 0 else ()
        yield Row((*bullet, (2, part, "")))


def _wrapped(text: str, characters: int = CHARACTERS) -> list[str]:
    """Lines in which no code and no bold words are torn apart."""
    whole = _INLINE.sub(lambda piece: piece[0].replace(" ", "\u00a0"), text)
    lines = textwrap.wrap(whole, characters, break_on_hyphens=False, break_long_words=False)
    return [line.replace("\u00a0", " ") for line in lines]


def _table(text: str) -> Row:
    cells = [cell.strip() for cell in text.strip("|").split("|")]
    places = [0.0, *(44 + 10.0 * number for number in range(len(cells) - 1))]
    style = "bold" if cells[0] == "scope" else ""
    return Row(tuple((place, cell, style) for place, cell in zip(places, cells, strict=True)), rule=True)
