"""`python -m services.epoxy.command`: the administrator's verbs at a terminal, over the administration API.

    get HOST · list [GLOB] · set-next-boot HOST boot|update · retire HOST · delete HOST · history HOST · explain HOST

Results on stdout as JSON, one line of error on stderr. Exit 0 done, 1 usage or no answer, 3 refused, 4 no such host.
The token comes from a file, goes over https or to loopback only, and stands in no argument.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

TIMEOUT_S = 30.0
DONE, FAILED, REFUSED, ABSENT = 0, 1, 3, 4


class Failure(Exception):
    """An answer that is no success; `status` is the program's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="services.epoxy.command", description="Administer the boot server.")
    result.add_argument("--url", required=True, help="of the administration API, such as https://NAME/admin/v1")
    result.add_argument("--token-file", required=True, type=Path, metavar="FILE")
    result.add_argument("--ca", type=Path, metavar="PEM", help="the authority of the server, instead of the system's")
    verbs = result.add_subparsers(dest="verb", required=True, metavar="VERB")
    told = {
        "get": "one record, both halves",
        "list": "records by a glob over names",
        "set-next-boot": "one boot with another sequence or release, or the update flag",
        "retire": "give no boot any more; git undoes it unless it says so too",
        "delete": "remove a record",
        "history": "the boots so far with the time of each stage",
        "explain": "what the host would be told now, and why",
    }
    for verb, text in told.items():
        one = verbs.add_parser(verb, help=text, description=text)
        if verb == "list":
            one.add_argument("glob", nargs="?", default="*")
            continue
        one.add_argument("host")
        if verb == "set-next-boot":
            one.add_argument("sequence", choices=("boot", "update", "none"), help="none: cancel")
            one.add_argument("--version", default="", help="a release instead of the record's own")
            one.add_argument("--hours", type=int, default=24, help="how long the order stands")
            one.add_argument("--until-success", action="store_true", help="set or clear the update flag instead")
        if verb == "history":
            one.add_argument("--limit", type=int, default=10)
        if verb == "explain":
            one.add_argument("--address", default="", help="as if this address asked")
    return result


def run(options: argparse.Namespace) -> Any:
    """What to print. Raises `Failure`."""
    with requests.Session() as session:
        session.trust_env = False
        if options.ca:
            session.verify = str(options.ca)
        session.headers["Authorization"] = f"Bearer {_token(options)}"
        return _run(options, session)


def _run(options: argparse.Namespace, session: requests.Session) -> Any:
    if options.verb == "list":
        return [host for host in _all(session, options.url) if fnmatch.fnmatch(host["desired"]["Name"], options.glob)]
    url = f"{options.url.rstrip('/')}/hosts/{quote(options.host, safe='')}"
    if options.verb in ("retire", "delete"):
        etag = {"If-Match": call(session, "GET", url)["etag"]}
        if options.verb == "delete":
            call(session, "DELETE", url, headers=etag)
            return {"deleted": options.host}
        return call(session, "POST", f"{url}/retire", headers=etag)
    if options.verb == "set-next-boot":
        if options.sequence == "none":
            return call(session, "DELETE", f"{url}/next-boot")
        order = {"sequence": options.sequence, "version": options.version, "expires_in_s": options.hours * 3600}
        return call(session, "PUT", f"{url}/next-boot", json={**order, "until_success": options.until_success})
    if options.verb == "history":
        return call(session, "GET", f"{url}/history", params={"limit": options.limit})
    if options.verb == "explain":
        return call(session, "GET", f"{url}/explain", params={"address": options.address})
    return call(session, "GET", url)


def call(session: requests.Session, method: str, url: str, **more: Any) -> Any:
    """One request. Raises `Failure` with the server's own words."""
    try:
        answer = session.request(method, url, timeout=TIMEOUT_S, allow_redirects=False, **more)
        body = answer.json() if answer.content else None
    except requests.RequestException as error:
        raise Failure(FAILED, f"{url}: no answer that can be read: {type(error).__name__}") from None
    if answer.ok:
        return body
    told = body.get("error", {}) if isinstance(body, dict) else {}
    status = {404: ABSENT}.get(answer.status_code, REFUSED if answer.status_code < 500 else FAILED)
    raise Failure(status, f"{answer.status_code} {told.get('code', '')}: {str(told.get('message', ''))[:256]}")


def _all(session: requests.Session, url: str) -> Iterator[Any]:
    after = ""
    while after is not None:
        page = call(session, "GET", f"{url.rstrip('/')}/hosts", params={"limit": 1000, "after": after})
        yield from page["hosts"]
        after = page["next"]


def _token(options: argparse.Namespace) -> str:
    parts = urlsplit(options.url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise Failure(FAILED, f"--url {options.url}: a token is sent over https only, or to loopback")
    try:
        return str(options.token_file.read_text(encoding="ascii").split()[0])
    except (OSError, UnicodeDecodeError, IndexError):
        raise Failure(FAILED, f"--token-file {options.token_file}: cannot be read, or is empty") from None


def main(arguments: list[str] | None = None) -> int:
    try:
        result = run(parser().parse_args(arguments))
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return failure.status
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
