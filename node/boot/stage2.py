"""Stage 2: the first program of the small initramfs. Network, then the client, which ends in kexec.

    python3 -I -S -m node.boot.stage2

`/init` mounts what the kernel offers and loads drivers; this does the rest. With `epoxy.stage1` on the command line
(a boot from an ISO or a USB stick) it is stage 1 and asks there; else it asks `epoxy.stage2`. The document's last
command is kexec, so this never returns from a boot that works. If it does, the machine is worth nothing as it is: as
process 1, and only then, it waits and restarts the machine, which then starts again from its card. Anywhere else it
ends with the client's status and touches neither the network nor the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from node.boot import client, cmdline, network
from node.boot.journal import Journal

RESTART_S = 30.0
"""Before a restart, so that a person can read why, and a site without its server does not spin."""


def options(kargs: Mapping[str, str]) -> client.Options:
    """Which action this boot is for."""
    if kargs.get("epoxy.stage1"):
        return client.Options(action="epoxy.stage1", add_kargs=True)
    return client.Options(action="epoxy.stage2")


def main() -> int:
    kargs = cmdline.parse(Path("/proc/cmdline").read_text(errors="replace"))
    if os.getpid() == 1:
        _first(kargs)
    return client.run(options(kargs))


def _first(kargs: Mapping[str, str]) -> NoReturn:
    """What process 1 does: the network before the client, a restart after it."""
    say = Journal(lambda text: text).line
    try:
        say("stage 2 starts")
        network.configure(kargs, say, ipv6=False)
        client.run(options(kargs))
    except Exception as error:
        # Whatever it is: if process 1 ends, the kernel stops and nobody is there to start it again.
        say(f"error: {type(error).__name__}: {error}")
    _restart(say)


def _restart(say: Callable[[str], None]) -> NoReturn:
    """Process 1 alone calls this; it does not return."""
    assert os.getpid() == 1
    say(f"the machine restarts in {RESTART_S:.0f} s")
    time.sleep(RESTART_S)
    while True:
        with suppress(OSError):
            subprocess.run(["reboot", "-f"], check=False)
        time.sleep(RESTART_S)


if __name__ == "__main__":
    sys.exit(main())
