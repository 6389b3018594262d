"""What git wants at one commit, as a value that crosses from the child that rendered it.

The loop's process never evaluates a configuration: a jsonnet file without end, or a YAML file as large as the
machine, ends the child and the commit is refused. The value is pickled, and read back by a reader that makes nothing
but the few frozen types that it is built of.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconcilers.core.model import Resource
from reconcilers.core.policy import Ack
from reconcilers.fleet.model import Environment

_OURS = ("reconcilers.core.model", "reconcilers.core.policy", "reconcilers.fleet.model", "reconcilers.loop.wanted")
_OTHERS = frozenset({("builtins", "frozenset"), ("builtins", "set"), ("datetime", "date")})


@dataclass(frozen=True, slots=True)
class Wanted:
    """One environment at one commit; `cache` counts the renderings that were kept from before (`hit`) or made."""

    environment: Environment
    acks: tuple[Ack, ...]
    desired: Mapping[str, tuple[Resource, ...]]
    cache: Mapping[str, int]
    sha: str = ""


@dataclass(frozen=True, slots=True)
class Invalid:
    """A configuration that is not valid: its problems, one line each."""

    problems: tuple[str, ...]


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in _OURS or (module, name) in _OTHERS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of what git wants")


def encode(found: Wanted | Invalid) -> bytes:
    """As bytes; `decode` gives the same value back."""
    return pickle.dumps(found)


def decode(content: bytes) -> Wanted | Invalid:
    """The value of what `encode` made. Raises `ValueError` for anything else."""
    try:
        found = _Reader(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"not what the rendering process writes: {error}") from None
    if not isinstance(found, Wanted | Invalid):
        raise ValueError(f"a {type(found).__name__} is not what the rendering process writes")
    return found
