"""Stage 3: the first of our programs in the large system. Network, facts for other programs, then the client.

    python3 -I -S -m node.boot.stage3 [flags of epoxy_client]

A unit of systemd starts it once (`Type=oneshot`, after `basic.target`, output to journal and console); containerd and
the import of the images that the root carries run beside it. The document of `epoxy.stage3` then runs
`node.boot.join`. It ends with the client's status and never restarts the machine: what the unit does with a status
other than 0 is written there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from node.boot import client, cmdline, epoxy_client, labels, network
from node.boot.errors import BootError
from node.boot.journal import Journal

METADATA = Path("/var/local/metadata")


def facts(kargs: Mapping[str, str]) -> dict[str, str]:
    """Files that experiments read below `/metadata`, by name."""
    return {"kernel-version": os.uname().release, "managed": labels.managed(kargs), "loadbalanced": "false"}


def main(arguments: Sequence[str]) -> int:
    kargs = cmdline.parse(Path("/proc/cmdline").read_text(errors="replace"))
    if not kargs.get("epoxy.stage3"):
        print("stage3: epoxy.stage3 is not on the command line: this machine was not booted by ePoxy", file=sys.stderr)
        return client.USAGE
    say = Journal(lambda text: text).line
    say("stage 3 starts")
    try:
        network.configure(kargs, say, ipv6=True)
    except BootError as error:
        say(f"error: network: {error}")
        return client.FAILED
    METADATA.mkdir(parents=True, exist_ok=True)
    for name, value in facts(kargs).items():
        (METADATA / name).write_text(value)
    return epoxy_client.main(["-action", "epoxy.stage3", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
