"""Splits a command that a document gives as one string into words, without a shell. Pure.

The rules are those of the word splitter that the original uses, which differ from Python's `shlex` in two points: a
`#` starts a comment at the start of a word only, and inside double quotes a backslash stands for any character after
it. Nothing is expanded.
"""

from __future__ import annotations

from node.boot.errors import BadDocument

_BLANKS = " \t\r\n"


def split(text: str) -> list[str]:
    """The words; none for a comment or blanks. Raises `BadDocument` for an open quote or a last backslash."""
    words: list[str] = []
    word: list[str] | None = None
    position, end = 0, len(text)
    while position < end:
        char = text[position]
        if char in _BLANKS:
            if word is not None:
                words.append("".join(word))
                word = None
        elif char == "#" and word is None:
            newline = text.find("\n", position)
            position = end if newline < 0 else newline
        else:
            word = [] if word is None else word
            position = _taken(text, position, word)
        position += 1
    if word is not None:
        words.append("".join(word))
    return words


def _taken(text: str, position: int, word: list[str]) -> int:
    """Put one character, or what one pair of quotes holds, into the word; gives the last position that was used."""
    char = text[position]
    if char == "'":
        close = text.find("'", position + 1)
        if close < 0:
            raise BadDocument(f"command {_short(text)}: no closing quote for the one at character {position + 1}")
        word.append(text[position + 1 : close])
        return close
    if char == "\\":
        word.append(_escaped(text, position))
        return position + 1
    if char != '"':
        word.append(char)
        return position
    inside = position + 1
    while inside < len(text) and text[inside] != '"':
        if text[inside] == "\\":
            word.append(_escaped(text, inside))
            inside += 2
        else:
            word.append(text[inside])
            inside += 1
    if inside >= len(text):
        raise BadDocument(f"command {_short(text)}: no closing quote for the one at character {position + 1}")
    return inside


def _escaped(text: str, position: int) -> str:
    if position + 1 >= len(text):
        raise BadDocument(f"command {_short(text)}: ends with a backslash")
    return text[position + 1]


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
