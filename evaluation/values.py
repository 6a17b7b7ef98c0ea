"""Results as plain values."""

from __future__ import annotations

from typing import Any


def rounded(value: Any) -> Any:
    """Floating point numbers with five significant digits, in dictionaries and lists as well."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value
