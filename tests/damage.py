"""What happens to files."""

from __future__ import annotations

import os
from pathlib import Path


def truncate(file: Path) -> None:
    """The second half is lost."""
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    """One bit in the middle is another."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
