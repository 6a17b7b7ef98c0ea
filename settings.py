"""The base of all configuration sections: strict, immutable, with messages that name the place and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
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
        raise ConfigurationError(f"{source}: {_first_problem(error, section, values)}") from None


def _first_problem(error: ValidationError, section: type[BaseModel], values: object) -> str:
    problems = error.errors(include_url=False)
    # An unknown key explains most; of the others the one deepest inside, for each member of a union has a complaint.
    problem = next(
        (problem for problem in problems if problem["type"] == "extra_forbidden"),
        max(problems, key=lambda problem: len(_keys(problem["loc"], values))),
    )
    location = problem["loc"]
    keys = _keys(location, values)
    where = ".".join(keys)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        known = _known(section, location)
        nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known here: {', '.join(sorted(known))}"
        return f"unknown key '{where}'; {hint}{more}"
    if problem["type"] == "missing":
        return f"'{'.'.join([*keys, str(location[-1])])}' is missing{more}"
    if problem["type"] == "union_tag_not_found":
        key = problem["ctx"]["discriminator"].strip("'")
        return f"'{where}.{key}' is missing: it says which kind this is{more}"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        key = context["discriminator"].strip("'")
        return f"'{where}.{key}': '{context['tag']}' is none of {context['expected_tags']}{more}"
    if problem["type"] == "value_error" and not isinstance(problem["input"], str | int | float):
        return (f"'{where}': " if where else "") + problem["msg"].removeprefix("Value error, ") + more
    if problem["type"] in ("model_attributes_type", "model_type"):
        return f"'{where}': expected a mapping of settings, found {problem['input']!r}{more}"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    found: Any = problem.get("input")
    shown = repr(found) if isinstance(found, str | int | float | bool) or found is None else type(found).__name__
    return f"'{where}': {message}, found {shown}{more}"


def _keys(location: Sequence[int | str], values: object) -> list[str]:
    """The steps of ``location`` that are keys of ``values``: pydantic writes the names of union members in between."""
    keys = []
    for step in location:
        inside = step in values if isinstance(values, Mapping) else isinstance(values, list) and isinstance(step, int)
        if inside:
            values = values[step]  # type: ignore[index]
            keys.append(str(step))
    return keys


def _known(section: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """The keys that are known where the last step of ``location`` is not."""
    models: list[type[BaseModel]] = [section]
    for step in location[:-1]:
        fields = [model.model_fields[str(step)] for model in models if step in model.model_fields]
        if fields:
            models = [model for field in fields for model in _sections_in(field.annotation)] or models
        else:
            # The tag of a union, or an index.
            models = [model for model in models if str(step) in _tags(model)] or models
    return [name for model in models for name in model.model_fields]


def _tags(model: type[BaseModel]) -> set[str]:
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
