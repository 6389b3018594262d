"""The plug-in as a process, as a runtime calls it, and as a module, for what is asked thousands of times."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

PROGRAM = Path(__file__).parents[2] / "node" / "cni" / "index2ip"
IPV4 = "192.0.2.73/26,192.0.2.65,8.8.8.8,8.8.4.4"
IPV6 = "2001:db8:0:7::73/64,2001:db8:0:7::1,2001:4860:4860::8888,2001:4860:4860::8844"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call left behind; `printed` is stdout as JSON, None if there was none."""

    status: int
    printed: Any
    stderr: str

    def failure(self) -> tuple[int, int]:
        """Exit status and code of the error object, whose members are all there."""
        assert self.printed.keys() == {"cniVersion", "code", "msg", "details"}, self
        assert self.stderr.startswith("index2ip: ") and self.stderr.count("\n") == 1, self
        return self.status, self.printed["code"]


def command_line(ipv4: str = IPV4, ipv6: str | None = IPV6) -> str:
    """A whole kernel command line, as ePoxy's first stage has it."""
    line = f"net.ifnames=0 coreos.autologin=tty1 epoxy.hostname=mlab1-abc01 epoxy.interface=eth0 epoxy.ipv4={ipv4} "
    return line + (f"epoxy.ipv6={ipv6} " if ipv6 is not None else "") + "epoxy.stage1=https://boot.test/stage1.json"


def config(index: object = 2, version: str = "0.3.1", **more: object) -> dict[str, object]:
    """A network configuration, as the caller on the node passes it through."""
    return {"cniVersion": version, "name": "x", "type": "y", "ipam": {"type": "index2ip", "index": index}, **more}


def call(command: str | None, stdin: bytes | object = b"", line: str | bytes | None = None) -> Answer:
    """Run the program; without a line the machine's own kernel command line is read."""
    data = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
    environment: dict[str | bytes, str | bytes] = {} if command is None else {"CNI_COMMAND": command}
    if line is not None:
        environment["PROC_CMDLINE_FOR_TESTING"] = line
    done = subprocess.run([PROGRAM], check=False, input=data, capture_output=True, env=environment, timeout=60)  # type: ignore[arg-type]
    printed = json.loads(done.stdout) if done.stdout else None
    return Answer(done.returncode, printed, done.stderr.decode())


def module() -> ModuleType:
    """Its functions."""
    loader = importlib.machinery.SourceFileLoader("index2ip", str(PROGRAM))
    spec = importlib.util.spec_from_loader("index2ip", loader)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    loader.exec_module(made)
    return made
