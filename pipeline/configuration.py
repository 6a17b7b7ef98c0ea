"""Configurations: YAML by path or by name, and ``--set a.b=c`` overrides."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from facegen.errors import ConfigurationError

RUNS = "facegen.configs"
"""Package of the configurations of runs."""
TRAININGS = "facegen.configs.training"
"""Package of the configurations of trainings."""
CLUSTERS = "facegen.configs.cluster"
"""Package of the configurations of executors."""


def shipped_names(package: str = RUNS) -> list[str]:
    """Names of the configurations that come with facegen, of one kind."""
    files = resources.files(package).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def read_configuration(name_or_path: str, overrides: Iterable[str] = (), package: str = RUNS) -> dict[str, Any]:
    """Plain values of a configuration file or of a shipped configuration, with overrides applied.

    Args:
        name_or_path: a file, or the name of a configuration in ``package``.
        overrides: ``a.b=value`` each.
        package: :data:`RUNS`, :data:`TRAININGS` or :data:`CLUSTERS`.

    Raises:
        ConfigurationError: when there is no such file or name, the YAML is wrong, or an override is not ``a.b=c``.
    """
    try:
        path = Path(name_or_path).expanduser()
        if path.is_file():
            text = path.read_text(encoding="utf-8")
        elif name_or_path in shipped_names(package):
            text = (resources.files(package) / f"{name_or_path}.yaml").read_text(encoding="utf-8")
        else:
            nearest = difflib.get_close_matches(name_or_path, shipped_names(package), n=1)
            hint = f"did you mean '{nearest[0]}'?" if nearest else f"shipped ones: {', '.join(shipped_names(package))}"
            raise ConfigurationError(f"{name_or_path}: no such configuration file or name; {hint}")
        values = _parse(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(f"{name_or_path}:{where} not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigurationError(f"{name_or_path}: not a YAML text file") from None
    except ConfigurationError:
        raise
    except (ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{name_or_path}: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"{name_or_path}: cannot be read ({error.strerror})") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{name_or_path}: expected a mapping of settings, found {type(values).__name__}")
    apply_overrides(values, overrides)
    return values


def apply_overrides(values: dict[str, Any], overrides: Iterable[str]) -> None:
    """Set ``a.b=value`` each in the values of a configuration.

    Raises:
        ConfigurationError: when one is not ``a.b=value``.
    """
    for override in overrides:
        _apply(values, override)


def _parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        yaml.YAMLError: for a text that is not YAML.
        ValueError: for one that is, and yet means nothing: a date such as 2020-13-45, or a nest without end.
    """
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    steps = key.strip().split(".")
    if not separator or not all(steps):
        raise ConfigurationError(f"--set {override}: expected a.b=value")
    try:
        value = _parse(text)
    except (yaml.YAMLError, ValueError):
        raise ConfigurationError(f"--set {override}: the value is not valid YAML") from None
    place = values
    for step in steps[:-1]:
        inner = place.setdefault(step, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"--set {override}: '{step}' is a value, it has no '{steps[-1]}'")
        place = inner
    place[steps[-1]] = value
