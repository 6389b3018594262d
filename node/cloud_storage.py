"""The official client of Cloud Storage, as every program of a node uses it."""

from __future__ import annotations

# The client imports these at its first call, which must not be when no descriptor is left.
import encodings.ascii
import encodings.idna  # noqa: F401
import netrc  # noqa: F401
import os

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage


def client(program: str, address: str = "") -> storage.Client:
    """With the machine's credentials; with none where `STORAGE_EMULATOR_HOST`, or `address`, names another server.

    Raises `google.auth.exceptions.GoogleAuthError` and `OSError` where there are no credentials.
    """
    # Even where nothing is traced, the client would read each bucket's own document, in a thread of its own and at a
    # time of its own: a call that who may only create objects is refused, and that nobody waits for or counts.
    os.environ["DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"] = "true"
    if not address and not os.environ.get("STORAGE_EMULATOR_HOST"):
        return storage.Client()
    options = {"api_endpoint": address} if address else None
    return storage.Client(program, credentials=AnonymousCredentials(), client_options=options)  # type: ignore[no-untyped-call]
