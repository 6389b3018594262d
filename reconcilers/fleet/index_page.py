"""`index.html` of a version of the inventory: links to its files, for people who look around with a browser.

The original says when it was made. A time would make two runs over the same commit differ, and every plan non-empty;
the set's `index.json` has the digest of each file instead, and its link is the first.
"""

from __future__ import annotations

import html
from collections.abc import Iterable


def text(version: str, paths: Iterable[str]) -> str:
    """The page; links are relative to the version's folder, as in the original."""
    links = ["./index.json", *sorted(f"./{path.removeprefix(f'{version}/')}" for path in paths)]
    rows = [f'<li><a href="{html.escape(link)}">{html.escape(link)}</a></li>' for link in links]
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{version}</title></head><body><ul>',
            *rows,
            "</ul></body></html>\n",
        ]
    )
