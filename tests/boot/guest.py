"""One virtual machine: firmware, a network card, memory, a serial console that is kept as a file.

It is emulated (`-accel tcg`), also where there is a /dev/kvm: that of many build machines runs firmware slower than
emulation does. It has no disk, at most a medium in a drive or a USB port. What the firmware trusts and what it boots is
given as on metal: in its variables, or by the medium that is there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import waiting

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
LIMIT_S = 1500.0
"""Bounds a failure only: a loaded machine may take ten times as long as a quiet one."""


@dataclass(frozen=True, slots=True)
class Card:
    """A network card: its tap device and its MAC."""

    tap: str
    mac: str


class Guest:
    """A machine from power-on until `off`. A context manager: whatever happens, its process ends."""

    def __init__(
        self,
        folder: Path,
        card: Card,
        url: str,
        trusted: bytes,
        *,
        rtc: str = "",
        memory_mib: int = 1536,
        medium: Path | None = None,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.console = folder / "console.log"
        self.console.write_bytes(b"")
        (folder / "cacerts.bin").write_bytes(trusted)
        if medium is None:
            _boot_entry(url, folder / "vars.fd")
        else:
            shutil.copyfile(VARIABLES, folder / "vars.fd")
        self._command = [
            *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64,+rdrand"),
            *("-smp", "2", "-m", str(memory_mib), "-nodefaults", "-display", "none", "-no-reboot", "-monitor", "none"),
            *("-serial", f"file:{self.console}"),
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={folder / 'vars.fd'}"),
            *("-fw_cfg", f"name=etc/edk2/https/cacerts,file={folder / 'cacerts.bin'}"),
            *("-object", "tls-cipher-suites,id=tls0,priority=NORMAL"),
            *("-fw_cfg", "name=etc/edk2/https/ciphers,gen_id=tls0"),
            *("-netdev", f"tap,id=n0,ifname={card.tap},script=no,downscript=no"),
            # Without a file QEMU would put a network boot program of its own on the card, and lose 5 s in it.
            *("-device", f"virtio-net-pci,netdev=n0,mac={card.mac},bootindex=1,romfile="),
            *("-device", "virtio-rng-pci"),
            *(("-rtc", f"base={rtc}") if rtc else ()),
            *(_drive(medium) if medium is not None else ()),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0

    def __enter__(self) -> Guest:
        self.started_s = time.monotonic()
        with self.console.with_name("qemu.log").open("wb") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        self.off()

    def off(self) -> None:
        """Pull the plug."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def said(self) -> str:
        """What the console shows so far."""
        return self.console.read_text(errors="replace")

    def seconds(self) -> float:
        """Since power-on."""
        return time.monotonic() - self.started_s

    def until(self, condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> float:
        """Wait for a condition while the machine runs; seconds since power-on."""

        def holds() -> bool:
            held = bool(condition())
            assert held or "Kernel panic" not in self.said(), f"never: {what}: the kernel panicked; {self._told()}"
            return held

        waiting.until(holds, what, limit_s=limit_s, step_s=0.2, process=self._process, told=self._told)
        return self.seconds()

    def _told(self) -> str:
        log = self.console.with_name("qemu.log").read_text(errors="replace")
        return f"{log}\nconsole {self.console}:\n{self.said()[-6000:]}"


def _drive(medium: Path) -> tuple[str, ...]:
    """A CD in a drive, or a stick in a USB port: what the firmware looks at first."""
    device = "ide-cd,drive=m0,bootindex=0"
    port: tuple[str, ...] = ()
    if medium.suffix != ".iso":
        port, device = ("-device", "qemu-xhci"), "usb-storage,drive=m0,bootindex=0"
    return ("-drive", f"if=none,id=m0,format=raw,readonly=on,file={medium}", *port, "-device", device)


def _boot_entry(url: str, target: Path) -> None:
    """A variable store whose next boot is this URL."""
    program = Path(sys.executable).with_name("virt-fw-vars")
    assert program.is_file() and shutil.which("qemu-system-x86_64"), "run `make setup`: it installs QEMU and the rest"
    command = [str(program), "-i", str(VARIABLES), "-o", str(target), "--set-boot-uri", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
