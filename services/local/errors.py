"""The one error of the local platform: what could not be started, where its log is, what to do next."""


class PlatformError(Exception):
    """A part of the platform on one machine cannot be built, started or stopped; its text is one line."""
