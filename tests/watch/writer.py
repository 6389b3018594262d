"""Writes `COUNT` files into each of `DIRECTORIES` new directories below `FOLDER`, as fast as it can."""

from __future__ import annotations

import os
import sys

CONTENT = b"x" * 1300


def main(folder: str, directories: int, count: int) -> None:
    for number in range(directories):
        day = f"{folder}/{2020 + number // 360}/{number // 30 % 12 + 1:02d}/{number % 30 + 1:02d}"
        os.makedirs(day, exist_ok=True)  # noqa: PTH103 - as fast as it can
        for name in range(count):
            descriptor = os.open(f"{day}/{name}", os.O_CREAT | os.O_WRONLY)
            os.write(descriptor, CONTENT)
            os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
