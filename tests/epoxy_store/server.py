"""PostgreSQL as Debian has it, in a folder of a test run's own, on a socket there and on no network."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from tests import waiting

INSTALLED = Path("/usr/lib/postgresql")
ACCOUNT = "nobody"
"""PostgreSQL refuses to run as root; of this account's rights nothing is needed but that they are few."""


@dataclass
class Server:
    """One server with its data; `start` may be called again after `stop`."""

    folder: Path
    owner: str
    process: subprocess.Popen[bytes] | None = field(default=None)

    def url(self, database: str) -> str:
        return f"postgresql://{self.owner}@/{database}?host={quote(str(self.folder), safe='')}"

    def start(self) -> None:
        """Without waiting for the disk: a killed process loses nothing by that, only a power cut would."""
        words = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-h", "", "-F", "-c", "max_connections=60"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("postgres"), *words], stdout=log, stderr=log, cwd=self.folder, **_identity(self.owner)
            )
        waiting.until(self._answers, "PostgreSQL answers", process=self.process, told=(self.folder / "log").read_text)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is a fast end, SIGQUIT one as by a crash."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    def halt(self, number: signal.Signals) -> None:
        """SIGSTOP freezes the server and all that serve connections, SIGCONT lets them go on."""
        assert self.process is not None
        pid = self.process.pid
        for one in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
            os.kill(one, number)

    def database(self, name: str) -> str:
        """A new database; its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)


def new() -> Server:
    """A server that was initialised and started. Its folder is short, as the path of a socket must be."""
    owner = ACCOUNT if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="mlab-pg-"))
    if os.getuid() == 0:
        shutil.chown(folder, owner, pwd.getpwnam(owner).pw_gid)
    words = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-U", owner]
    subprocess.run(
        [program("initdb"), "-D", str(folder / "data"), *words],
        check=True,
        capture_output=True,
        cwd=folder,
        **_identity(owner),
    )
    made = Server(folder, owner)
    made.start()
    return made


def program(name: str) -> str:
    """Where Debian has a program of the newest version installed; they are not in PATH."""
    found = sorted(INSTALLED.glob(f"*/bin/{name}"), key=lambda path: int(path.parents[1].name))
    assert found, f"no {name} below {INSTALLED}: make setup installs the package postgresql"
    return str(found[-1])


def _identity(owner: str) -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    account = pwd.getpwnam(owner)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
