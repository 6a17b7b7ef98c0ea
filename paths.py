"""Paths as people write them in configurations."""

from __future__ import annotations

import os
import re
from pathlib import Path

from facegen.errors import ConfigurationError


def expand(path: Path, key: str, remedy: str = "set it, or give the path") -> Path:
    """The path with ``~``, ``$VARIABLE`` and ``${VARIABLE}`` replaced.

    Configurations keep the variable, so that machines that hold a file in different places agree on them.

    Args:
        path: as configured.
        key: the setting it comes from, for the message.
        remedy: what to do about a variable that is not set, for the message.

    Raises:
        ConfigurationError: a variable is not set, or there is no such user.
    """
    text = str(path)
    for match in re.finditer(r"\$(?:\{(\w+)\}|(\w+))", text):
        variable = match[1] or match[2]
        if not os.environ.get(variable):
            raise ConfigurationError(f"{key} is '{text}' and the environment variable {variable} is not set; {remedy}")
    if "\0" in text:
        raise ConfigurationError(f"{key} is {text!r}, which is no path")
    try:
        return Path(os.path.expandvars(text)).expanduser()
    except RuntimeError:
        raise ConfigurationError(f"{key} is '{text}', and no such user has a home folder") from None
