"""The base of all configuration sections: strict, immutable, with messages that name the place and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from facegen.errors import ConfigurationError


class Section(BaseModel):
    """A part of the configuration. Unknown keys are refused, values do not change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def validate(section: type[S], values: object, *, source: str) -> S:
    """Build ``section`` from plain values.

    Args:
        section: the configuration class.
        values: what YAML or the command line gave.
        source: where the values come from, for the message.

    Raises:
        ConfigurationError: naming the first offending key, and for an unknown key the nearest known name.
    """
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{source}: expected a mapping of settings, found {type(values).__name__}")
    try:
        return section.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {_first_problem(error, section)}") from None


def _first_problem(error: ValidationError, section: type[BaseModel]) -> str:
    problems = error.errors(include_url=False)
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    # pydantic writes the tag of a discriminated union into the path; it is no key of the file.
    location = list(problem["loc"])
    known, keys = _walk(section, location)
    where = ".".join(str(key) for key in keys) or "the whole"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known here: {', '.join(sorted(known))}"
        return f"unknown key '{where}'; {hint}{more}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    found: Any = problem.get("input")
    shown = repr(found) if isinstance(found, str | int | float | bool) or found is None else type(found).__name__
    return f"'{where}': {message}, found {shown}{more}"


def _walk(section: type[BaseModel], location: list[Any]) -> tuple[list[str], list[Any]]:
    """Follow ``location`` through the section classes: the keys known at its end, and the path without union tags."""
    models: list[type[BaseModel]] = [section]
    keys: list[Any] = []
    for step in location:
        fields = [model.model_fields[step] for model in models if step in model.model_fields]
        if fields:
            keys.append(step)
            if step != location[-1] or len(keys) < len(location):
                models = [model for field in fields for model in _sections_in(field.annotation)] or models
            continue
        tagged = [model for model in models if step in _tags(model)]
        if tagged:
            models = tagged
            continue
        keys.append(step)
    return [name for model in models for name in model.model_fields], keys


def _tags(model: type[BaseModel]) -> set[object]:
    """The values of the literal fields of ``model``: what a discriminated union calls it, with its class name."""
    defaults = {field.default for field in model.model_fields.values() if isinstance(field.default, str)}
    return defaults | {model.__name__}


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for part in getattr(annotation, "__args__", ()):
        found += _sections_in(part)
    return found
