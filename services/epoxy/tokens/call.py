"""What ePoxy asks an extension: which host, since when it boots. The wire form is the original's, version 1.

Unknown keys are ignored, as the original ignores them; `raw_query` and `v2` carry what other operations need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.epoxy import errors, validate

MAX_AGE = timedelta(minutes=120)
"""A boot that takes longer is given up; it is also how long a session of ePoxy lives."""
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


class Malformed(Exception):
    """Not a request of ePoxy: 400."""


class TooLate(Exception):
    """The boot began too long ago: 408."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request on behalf of one host."""

    host: str
    last_boot: datetime


def parse(body: Any, now: datetime, *, max_age: timedelta | None) -> Call:
    """Raises `Malformed`, or `TooLate` where the operation belongs to a boot under way."""
    fields = body.get("v1") if isinstance(body, dict) else None
    if not isinstance(fields, dict):
        raise Malformed("there is no object v1")
    name, instant = fields.get("hostname"), fields.get("last_boot")
    try:
        if not isinstance(name, str) or not isinstance(instant, str) or not _INSTANT.fullmatch(instant):
            raise Malformed("v1 needs hostname and last_boot, an RFC 3339 time")
        # Python reads six decimals, Go writes up to nine.
        call = Call(validate.host_name(name), datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", instant)))
    except errors.ApiError as error:
        raise Malformed(error.message) from None
    except ValueError:
        raise Malformed("v1.last_boot is no time") from None
    if max_age is not None and now - call.last_boot > max_age:
        raise TooLate(f"{call.host}: booted more than {max_age.total_seconds() / 60:.0f} minutes ago")
    return call
