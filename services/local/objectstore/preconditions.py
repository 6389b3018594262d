"""Conditions of a call on generation and metageneration, the same for every verb.

`ifGenerationMatch=0` means that there is no live object. A read whose not-match condition fails answers 304; every
other failure is 412. Conditions are judged inside the transaction that writes, so that of many racers one wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.local.objectstore import errors

NUMBER = re.compile(r"[0-9]{1,19}")
MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Preconditions:
    """None: no such condition."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def check_write(self, generation: int, metageneration: int) -> None:
        """Raise 412 unless all hold; both numbers are 0 where there is no live object."""
        self._check_match(generation, metageneration)
        if self.generation_not_match == generation or self.metageneration_not_match == metageneration:
            raise errors.condition_not_met()

    def check_read(self, generation: int, metageneration: int) -> None:
        self._check_match(generation, metageneration)
        if self.generation_not_match == generation or self.metageneration_not_match == metageneration:
            raise errors.NotModified

    def _check_match(self, generation: int, metageneration: int) -> None:
        if self.generation_match is not None and self.generation_match != generation:
            raise errors.condition_not_met()
        if self.metageneration_match is not None and self.metageneration_match != metageneration:
            raise errors.condition_not_met()


def number(query: Mapping[str, str], name: str) -> int | None:
    """A number of 0 or more that fits in 64 bits, or None if absent; 400 if it is not one."""
    text = query.get(name)
    if text is None or text == "":
        return None
    if not NUMBER.fullmatch(text) or int(text) > MAX:
        what = f"{text[:64]!r} is not an integer within 0 and {MAX}"
        raise errors.invalid(f"Invalid value for parameter {name}: {what}", name)
    return int(text)


def parse(query: Mapping[str, str], prefix: str = "if") -> Preconditions:
    """The conditions of a query; prefix `ifSource` reads those on the source of a copy."""
    return Preconditions(
        number(query, f"{prefix}GenerationMatch"),
        number(query, f"{prefix}GenerationNotMatch"),
        number(query, f"{prefix}MetagenerationMatch"),
        number(query, f"{prefix}MetagenerationNotMatch"),
    )
