"""The one error of the image builder: what could not be built, why, and what to do next, in one line."""


class ImageError(Exception):
    """An image cannot be built or does not hold what it must."""
