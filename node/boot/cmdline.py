"""The kernel command line as ePoxy reads it: words split at single spaces, each at its first `=`. Pure.

A word without `=` has the empty value, the last of several equal keys wins, and quotes mean nothing: this is how the
original reads `/proc/cmdline`, and action documents count on it. It differs from the kernel's own parser in the last
two points.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_BYTES = 2047
"""What an x86-64 kernel keeps of its command line; a longer one loses its end without a word."""


def parse(text: str) -> dict[str, str]:
    """Keys and values of one line."""
    pairs = (word.partition("=") for word in text.strip(" \n").split(" ") if word)
    return {key: value for key, _, value in pairs}


def merged(kargs: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Keys of a document beside those of the command line, which are never replaced."""
    return {**added, **kargs}
