"""Refusals in the shape of the JSON API, so that the official client maps them to its own exceptions.

`{"error": {"code", "message", "errors": [{"domain", "reason", "message", ...}]}}`
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response


class ApiError(Exception):
    """One refused call; `reason` is the API's machine-readable word for it."""

    def __init__(self, code: int, reason: str, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.location = location


class NotModified(Exception):
    """A read whose not-match precondition holds: 304 without a body."""


def invalid(message: str, location: str = "") -> ApiError:
    return ApiError(400, "invalid", message, location=location)


def no_bucket(name: str) -> ApiError:
    return ApiError(404, "notFound", f"The specified bucket does not exist: {name}")


def no_object(bucket: str, name: str, generation: int | None = None) -> ApiError:
    suffix = f"#{generation}" if generation is not None else ""
    return ApiError(404, "notFound", f"No such object: {bucket}/{name}{suffix}")


def condition_not_met(location: str = "If-Match") -> ApiError:
    return ApiError(
        412,
        "conditionNotMet",
        "At least one of the pre-conditions you specified did not hold.",
        location=location,
    )


def body(error: ApiError) -> bytes:
    detail = {"message": error.message, "domain": "global", "reason": error.reason}
    if error.location:
        detail |= {
            "locationType": "header" if error.location == "If-Match" else "parameter",
            "location": error.location,
        }
    return json.dumps({"error": {"code": error.code, "message": error.message, "errors": [detail]}}).encode()


def response(error: ApiError, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body(error), error.code, headers=dict(headers or {}), media_type="application/json; charset=UTF-8")
