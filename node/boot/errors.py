"""What can go wrong while a machine boots, by what the client does about it.

Every failure of a boot is repeated with growing waits, for a server or a document may be mended meanwhile; only what
the machine itself was told wrongly (`Usage`) is not. `Refused` is told apart because a session that is over does not
come back: the machine has to start again from stage 1.
"""

from __future__ import annotations


class BootError(Exception):
    """One line for the console, the log and the report: what, where, and what was expected."""


class Usage(BootError):
    """A flag or the kernel command line is wrong; repeating cannot help."""


class BadDocument(BootError):
    """An action document that cannot be understood, or that asks for what is not allowed."""


class Refused(BootError):
    """The server knows the request and says no: 403, 404 or 410."""


class Temporary(BootError):
    """The network or the server failed; `retry_after_s` is the server's own wish, or None."""

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class CommandFailed(BootError):
    """A command of the document ended with another status than 0, or could not be started."""
