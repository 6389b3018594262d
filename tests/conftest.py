"""For every test: no look at a cloud's metadata server, a host outside this machine; no socket left open."""

from __future__ import annotations

import os

os.environ["NO_GCE_CHECK"] = "true"
os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)

pytest_plugins = ["tests.leaks", "tests.light"]
