"""Texts with `{{name}}` in them, in the manner of the public platform's templates.

Its templates are shell and iPXE scripts, full of `$` and `${…}`: these mean nothing here. A name that is not known
stays as it is, so that a template may be filled in twice; `{{{{` is a literal `{{`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_MARK = re.compile(r"\{\{(?:(?P<escaped>\{\{)|(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)\}\})")


def fill(template: str, values: Mapping[str, object]) -> str:
    """The template with every known name filled in."""

    def one(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "{{"
        name = found["name"]
        return str(values[name]) if name in values else found[0]

    return _MARK.sub(one, template)
