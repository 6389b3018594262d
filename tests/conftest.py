"""For every test: no look at a cloud's metadata server, a host outside this machine; no socket left open."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

os.environ["NO_GCE_CHECK"] = "true"
os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)

# A machine that does much else is slow, which is nothing that a test could find wrong.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

pytest_plugins = ["tests.crowd", "tests.leaks", "tests.light"]
