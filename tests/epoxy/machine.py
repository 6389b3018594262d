"""A machine that boots: asks the stages in their order over HTTP, as iPXE and the client of Linux do."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.epoxy_service import Service, record

PROXY = ("--trusted-proxies", "127.0.0.0/8", "--public-hostname", "boot.test")
"""Tests call through a proxy that the service trusts, so that each machine has an address of its own."""

FORM = {"platform": "efi", "mac": "52:54:00:12:34:56", "version": "2.0.0+", "serial": "", "asset": ""}
_numbers: Iterator[int] = itertools.count(1)


@dataclass
class Machine:
    """One host with a record; `call` sends from its address, and `urls` are those of its latest stage1."""

    service: Service
    name: str
    address: str
    urls: dict[str, str] = field(default_factory=dict)

    def call(self, path: str, *, method: str = "POST", address: str | None = None, **more: Any) -> requests.Response:
        headers = {"X-Forwarded-For": address or self.address, **more.pop("headers", {})}
        return self.service.call(method, path, token=None, headers=headers, allow_redirects=False, **more)

    def path(self, last: str) -> str:
        return f"/v1/boot/{self.name}/{last}"

    def stage1(self) -> requests.Response:
        """POST stage1.ipxe and remember the URLs, as paths."""
        answer = self.call(self.path("stage1.ipxe"), data=FORM)
        found = dict(re.findall(r"^set (\S+)_url (\S+)$", answer.text, re.MULTILINE))
        self.urls = {key: url.removeprefix("https://boot.test") for key, url in found.items()}
        return answer

    def ask(self, key: str, **more: Any) -> requests.Response:
        """POST to one of the URLs of stage1: stage2, stage3, report, or an operation's name."""
        return self.call(self.urls[key], **more)

    def report(self, message: str = "success", **more: str) -> requests.Response:
        return self.ask("report", data={"message": message, **more})

    def boot(self) -> None:
        """All of it, to the success."""
        assert self.stage1().status_code == 200
        assert [self.ask("stage2").status_code, self.ask("stage3").status_code] == [200, 200]
        assert self.report().status_code == 204


def made(service: Service, **changes: Any) -> Machine:
    """A new host with an address of its own."""
    number = next(_numbers)
    host, address = f"mlab{number % 4 + 1}-m{number:04d}.mlab-sandbox.measurement-lab.test", _address(number)
    service.create(record(host, **{"IPv4Addr": address, **changes}))
    return Machine(service, host, address)


def _address(number: int) -> str:
    return f"198.18.{100 + number // 200}.{number % 200 + 1}"
