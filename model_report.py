"""What the ``facegen models`` commands tell of the face models."""

from __future__ import annotations

import difflib
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from facegen.errors import ConfigurationError, FacegenError
from facegen.morphable.config import DefaultModelConfig, IctModelConfig
from facegen.morphable.load import load_model

if TYPE_CHECKING:
    from facegen.morphable.anthropometry import Anthropometry
    from facegen.morphable.model import MorphableModel

_MODELS: dict[str, tuple[DefaultModelConfig | IctModelConfig, str, str]] = {
    "default": (DefaultModelConfig(), "facegen's own, generated from numbers", "Apache-2.0, as facegen"),
    "default-coarse": (
        DefaultModelConfig(resolution="coarse"),
        "the same with a quarter of the triangles",
        "Apache-2.0",
    ),
    "default-dense": (DefaultModelConfig(resolution="dense"), "the same, four times the triangles", "Apache-2.0"),
    "ict": (IctModelConfig(), "ICT-FaceKit, from scans; FACEGEN_ICT names its file", "MIT, fetched by you"),
}
"""Name → how it is configured, what it is, its licence."""


def named_model(name: str) -> MorphableModel:
    """The model of a name.

    Raises:
        ConfigurationError: there is none of that name, or its file is not named.
        ModelError: its file is missing or damaged.
    """
    if name not in _MODELS:
        nearest = difflib.get_close_matches(name, _MODELS, n=1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"known: {', '.join(_MODELS)}"
        raise ConfigurationError(f"unknown model '{name}'; {hint}")
    return load_model(_MODELS[name][0])


def overview() -> list[dict[str, Any]]:
    """All models: name, what it is, licence, and either its sizes or why it cannot be used."""
    rows = []
    for name, (_, description, licence) in _MODELS.items():
        row: dict[str, Any] = {"name": name, "description": description, "licence": licence}
        try:
            row |= {"usable": True, **_sizes(named_model(name))}
        except FacegenError as error:
            row |= {"usable": False, "reason": str(error)}
        rows.append(row)
    return rows


def overview_text(rows: list[dict[str, Any]]) -> str:
    """:func:`overview` as a table."""
    lines = []
    for row in rows:
        lines.append(f"{row['name']:<15} {row['description']} ({row['licence']})")
        if row["usable"]:
            lines.append(
                f"{'':<15} {row['vertices']:,} vertices, {row['identity']} identity, {row['expression']} expression, "
                f"{row['albedo']} albedo coefficients"
            )
        else:
            lines.append(f"{'':<15} not usable here: {row['reason']}")
    return "\n".join(lines)


def describe(name: str) -> dict[str, Any]:
    """What a model holds, as plain values.

    Raises:
        ConfigurationError, ModelError: see :func:`named_model`.
    """
    model = named_model(name)
    _, description, licence = _MODELS[name]
    topology = model.topology
    counts = np.bincount(topology.triangle_region, minlength=len(topology.region_names))
    low, high = model.expression_bounds
    values: dict[str, Any] = {
        "name": name,
        "description": description,
        "licence": licence,
        "sha256": model.sha256,
        **_sizes(model),
        "triangles": len(topology.triangles),
        "texture_coordinates": len(topology.uv),
        "landmarks": len(topology.landmarks),
        "height_mm": round(float(np.ptp(model.mean[:, 1])), 1),
        "width_mm": round(float(np.ptp(model.mean[:, 0])), 1),
        "depth_mm": round(float(np.ptp(model.mean[:, 2])), 1),
        "regions": {region: int(counts[i]) for i, region in enumerate(topology.region_names) if counts[i]},
        "identity_names": list(model.identity_names),
        "expression_names": list(model.expression_names),
        "expression_bounds": [None if np.isinf(value) else value for value in (low, high)],
        "expression_limits": [list(pair) for pair in model.expression_limits],
        "expression_switches": {
            switch.name: [dict(switch.room), switch.needed] for switch in model.expression_switches
        },
        "albedo_names": list(model.albedo_names),
        "relief_names": [] if model.relief is None else list(model.relief.names),
    }
    if model.anthropometry is not None:
        values["measurements"] = _measurements(model, model.anthropometry)
        values["measurements_source"] = model.anthropometry.source
    if model.population is not None:
        values["population"] = model.population.describe()
    return values


def describe_text(values: dict[str, Any]) -> str:
    """:func:`describe` for people."""
    lines = [
        f"{values['name']}: {values['description']}; licence {values['licence']}",
        f"  sha256        {values['sha256']}",
        f"  mesh          {values['vertices']:,} vertices, {values['triangles']:,} triangles, "
        f"{values['texture_coordinates']:,} texture coordinates, {values['landmarks']} landmarks",
        f"  mean head     {values['height_mm']} high, {values['width_mm']} wide, {values['depth_mm']} deep, mm",
        f"  identity      {_listed(values['identity_names'])}",
        f"  expression    {_listed(values['expression_names'])}",
        *(f"                {a} ≤ {b}" for a, b in values["expression_limits"]),
        *(f"                {name} 0 or 1, only in a mouth open enough" for name in values["expression_switches"]),
        f"  albedo        {_listed(values['albedo_names'])}",
    ]
    if values["relief_names"]:
        lines.append(f"  relief        {_listed(values['relief_names'])}")
    lines.append("  regions       " + ", ".join(f"{name} ({count:,})" for name, count in values["regions"].items()))
    if "measurements" in values:
        lines += ["", *_measurement_lines(values)]
    if "population" in values:
        lines += ["", values["population"]["text"]]
    return "\n".join(lines)


_PEOPLE = 500
"""How many people are drawn to measure the model's spread."""


def _measurements(model: MorphableModel, law: Anthropometry) -> list[dict[str, Any]]:
    """The table that the model reproduces, beside what is measured on its mean head and on drawn people; mm."""
    still = np.zeros((_PEOPLE, len(model.expression_names)), np.float32)
    identity = np.zeros((_PEOPLE, len(model.identity_names)), np.float32)
    mean = law.measure(model.decode(identity[:1], still[:1]))[0]
    table = zip(law.names, law.male.tolist(), law.female.tolist(), law.spread.tolist(), mean.tolist(), strict=True)
    rows: list[dict[str, Any]] = [
        {"name": name, "men": men, "women": women, "sd": sd, "mean_head": round(value, 2)}
        for name, men, women, sd, value in table
    ]
    if model.population is not None:
        for number in range(_PEOPLE):
            identity[number] = model.population.draw(np.random.Generator(np.random.Philox(key=[1, number]))).identity
        drawn = law.measure(model.decode(identity, still))
        for row, wanted, value in zip(rows, law.pooled.tolist(), drawn.std(axis=0).tolist(), strict=True):
            row |= {"pooled_sd": round(wanted, 2), "people_sd": round(value, 2)}
    return rows


def _measurement_lines(values: dict[str, Any]) -> list[str]:
    columns = ("men", "women", "sd", "mean_head", "pooled_sd", "people_sd")
    heads = ("men", "women", "SD", "mean head", "pooled SD", "people's SD")
    lines = [
        "measurements, mm: the table that the population reproduces, and what is measured on the mean head and on "
        f"{_PEOPLE} drawn people",
        " " * 24 + "".join(head.rjust(13) for head in heads),
    ]
    lines += [
        f"{row['name']:<24}" + "".join(f"{row[c]:13.2f}" if c in row else " " * 13 for c in columns)
        for row in values["measurements"]
    ]
    return [*lines, *textwrap.wrap(values["measurements_source"], 116)]


def _sizes(model: MorphableModel) -> dict[str, Any]:
    return {
        "vertices": model.topology.vertex_count,
        "identity": len(model.identity_names),
        "expression": len(model.expression_names),
        "albedo": len(model.albedo_names),
    }


def _listed(names: list[str]) -> str:
    """A few names of many."""
    shown = names if len(names) <= 30 else [*names[:3], "…", names[-1]]
    return f"{len(names)}: {', '.join(shown)}"
