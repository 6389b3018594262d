"""The one error of the local platform: what could not be started, where its log is, what to do next."""

from __future__ import annotations

from reconcilers.core.errors import Permanent


class PlatformError(Permanent):
    """A part of the platform on one machine cannot be built, started or stopped."""
