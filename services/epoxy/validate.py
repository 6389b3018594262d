"""From an administrator's JSON to a `Desired` record, or the one field that is wrong and its limit.

Stricter than the original on purpose: a URL ends up verbatim in an iPXE script and on a kernel command line, where
white space splits words and `${` starts an expansion. Every field must be present, so that a hand-written request
cannot drop an owner or a protection by forgetting it. Only `Callers` may be left out: it stays as it is.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from services.epoxy import errors, records

MAX_URL = 1024
MAX_EXTENSIONS = 16
MAX_CALLERS = 8
WIDEST_CALLERS = {4: 24, 6: 48}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_EXTENSION = re.compile(r"[a-z0-9_]{1,40}")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_URL_TEXT = re.compile(r"[!-~]+")
_MARK_TEXT = re.compile(r"[!-~][ -~]{0,255}")
_FIELDS = ("Name", "IPv4Addr", "Boot", "Update", "ImagesVersion", "Extensions", "Retired", "Protect", "Owner")
_MARK_FIELDS = ("owner", "env", "scope", "source", "commit")


def desired(body: Any, name: str) -> records.Desired:
    """Check the whole body of a write to the record `name`. Raises `ApiError` 422 naming the field."""
    callers = body.pop("Callers", []) if isinstance(body, dict) else []
    document = _mapping("body", body, _FIELDS)
    if document["Name"] != name:
        raise errors.invalid("Name", f"{_show(document['Name'])} differs from the path's {name}")
    return records.Desired(
        name=name,
        ipv4_addr=_ipv4(document["IPv4Addr"]),
        boot=_sequence("Boot", document["Boot"]),
        update=_sequence("Update", document["Update"]),
        images_version=_matching("ImagesVersion", document["ImagesVersion"], _VERSION),
        extensions=_extensions(document["Extensions"]),
        retired=_boolean("Retired", document["Retired"]),
        protect=_boolean("Protect", document["Protect"]),
        owner=_mark(document["Owner"]),
        callers=_callers(callers),
    )


def host_name(name: str) -> str:
    """A fully qualified name in lower case: at most 253 characters, at least two labels of at most 63."""
    if len(name) > 253:
        raise errors.invalid("Name", f"{len(name)} characters; at most 253 are allowed")
    labels = name.split(".")
    if len(labels) < 2:
        raise errors.invalid("Name", f"{_show(name)} is not fully qualified; write host.domain")
    for label in labels:
        if len(label) > 63:
            raise errors.invalid("Name", f"label {_show(label)} has {len(label)} characters; at most 63 are allowed")
        if not _LABEL.fullmatch(label):
            raise errors.invalid("Name", f"label {_show(label)} must be letters a-z, digits and inner hyphens")
    return name


def _mapping(field: str, value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise errors.invalid(field, f"must be an object with the keys {', '.join(keys)}")
    prefix = "" if field == "body" else f"{field}."
    for key in value:
        if field == "body" and key in records.OBSERVED_FIELDS:
            raise errors.ApiError(422, "field.server-owned", f"{key} belongs to the server; leave it out", field=key)
        if key not in keys:
            raise errors.invalid(f"{prefix}{key[:80]}", f"unknown; known are {', '.join(keys)}")
    for key in keys:
        if key not in value:
            raise errors.invalid(f"{prefix}{key}", "missing")
    return value


def _ipv4(value: Any) -> str:
    try:
        if isinstance(value, str):
            return str(ipaddress.IPv4Address(value))
    except ValueError:
        pass
    raise errors.invalid("IPv4Addr", f"{_show(value)} is not an IPv4 address such as 198.18.0.1")


def _callers(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_CALLERS:
        raise errors.invalid("Callers", f"must be a list of at most {MAX_CALLERS} addresses and prefixes")
    found = []
    for index, item in enumerate(value):
        try:
            if not isinstance(item, str):
                raise ValueError
            network = ipaddress.ip_network(item)
            if network.prefixlen < WIDEST_CALLERS[network.version]:
                raise ValueError
        except ValueError:
            raise errors.invalid(
                f"Callers.{index}", f"{_show(item)} is not an address, or a prefix of at least /24 or /48"
            ) from None
        found.append(str(network.network_address) if network.num_addresses == 1 else str(network))
    return tuple(found)


def _sequence(field: str, value: Any) -> dict[str, str]:
    urls = _mapping(field, value, records.SEQUENCE_KEYS)
    return {key: _url(f"{field}.{key}", urls[key]) for key in records.SEQUENCE_KEYS}


def _url(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise errors.invalid(field, f"{_show(value)} is not a URL")
    if len(value) > MAX_URL:
        raise errors.invalid(field, f"{len(value)} characters; at most {MAX_URL} are allowed")
    if not _URL_TEXT.fullmatch(value):
        raise errors.invalid(field, f"{_show(value)} holds white space or characters outside ASCII; encode them")
    if "${" in value:
        raise errors.invalid(field, f"{_show(value)} holds '${{', which iPXE would expand")
    if "{{" in value.replace("{{VERSION}}", ""):
        raise errors.invalid(field, f"{_show(value)} holds a template other than {{{{VERSION}}}}")
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise errors.invalid(field, f"{_show(value)} is not an absolute http or https URL")
    if "@" in parts.netloc:
        raise errors.invalid(field, "holds a user or password; a boot URL is readable by everyone on the machine")
    return value


def _extensions(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise errors.invalid("Extensions", "must be a list of operation names")
    if len(value) > MAX_EXTENSIONS:
        raise errors.invalid("Extensions", f"{len(value)} operations; at most {MAX_EXTENSIONS} fit a command line")
    names = tuple(_matching(f"Extensions.{index}", item, _EXTENSION) for index, item in enumerate(value))
    if len(set(names)) != len(names):
        raise errors.invalid("Extensions", "an operation is named twice")
    return names


def _mark(value: Any) -> records.Mark | None:
    if value is None:
        return None
    fields = _mapping("Owner", value, _MARK_FIELDS)
    for key in _MARK_FIELDS:
        if key in ("source", "commit") and fields[key] == "":
            continue
        _matching(f"Owner.{key}", fields[key], _MARK_TEXT)
    return records.Mark(**fields)


def _matching(field: str, value: Any, pattern: re.Pattern[str]) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise errors.invalid(field, f"{_show(value)} must be text that matches {pattern.pattern}")


def _boolean(field: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise errors.invalid(field, f"{_show(value)} must be true or false")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
