"""Which GPUs there are, and which worker gets which."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Literal

from facegen.errors import ConfigurationError

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""Read by CUDA when a process first uses it: the GPUs that it sees."""

_UUID = re.compile(r"^\s*(GPU|MIG).*\(UUID: ((?:GPU|MIG)-[^)\s]+)\)\s*$")


def visible_gpus(wanted: Literal["auto"] | int) -> tuple[str, ...]:
    """The GPUs that workers may use, each by what to put into ``CUDA_VISIBLE_DEVICES``.

    Those that the variable names where it is set already, otherwise those that ``nvidia-smi`` lists. CUDA is not
    touched, for a process that has used it can no longer choose.

    Args:
        wanted: how many; ``"auto"`` takes those there are.

    Raises:
        ConfigurationError: when there are fewer than wanted.
    """
    if wanted == 0:
        return ()
    given = os.environ.get(VARIABLE)
    found = _listed(given) if given is not None else _installed()
    if wanted == "auto":
        return found
    if wanted > len(found):
        source = f"{VARIABLE}={given} names" if given is not None else "nvidia-smi lists"
        raise ConfigurationError(f"executor.gpus: {wanted} asked for, {source} {len(found) or 'none'}")
    return found[:wanted]


def gpu_of(worker: int, gpus: Sequence[str]) -> str | None:
    """The GPU of worker ``worker``, counted from 0: they are shared out in turn. ``None`` when there is none."""
    return gpus[worker % len(gpus)] if gpus else None


def _listed(value: str) -> tuple[str, ...]:
    """The GPUs of a ``CUDA_VISIBLE_DEVICES``; as for CUDA, what follows an invalid number is not seen."""
    found: list[str] = []
    for name in value.split(","):
        name = name.strip()
        if not re.fullmatch(r"\d+|(GPU|MIG)-\S+", name):
            break
        found.append(name)
    return tuple(found)


def _installed() -> tuple[str, ...]:
    """The GPUs of this machine by UUID, for CUDA numbers them in another order; MIG slices in place of their GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listing = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        # A driver that does not answer has no GPU for anybody.
        return ()
    return _parse(listing)


def _parse(listing: str) -> tuple[str, ...]:
    """What ``nvidia-smi -L`` lists: a line for each GPU, and indented below it one for each of its MIG slices."""
    found: list[str] = []
    for line in listing.splitlines():
        match = _UUID.match(line)
        if match is None:
            continue
        kind, uuid = match.groups()
        if kind == "MIG" and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(uuid)
    return tuple(found)
