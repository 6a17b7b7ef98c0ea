"""docs/dataset.md and the schema say the same; the schema and the stages' dataclasses too."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from facegen.batch import Renders, Samples
from facegen.dataset import layout
from facegen.stages.pack import schema

DOCUMENT = Path(__file__).parents[1] / "docs" / "dataset.md"


def shape(dimensions: tuple[str | int, ...]) -> str:
    return "(" + ", ".join(["N", *map(str, dimensions)]) + ("," if not dimensions else "") + ")"


STORED = (
    *schema.ARRAYS,
    *schema.RAW_ARRAYS.values(),
    *schema.COMPOSITION_ARRAYS,
    *schema.OBJECT_ARRAYS,
    *schema.EFFECT_ARRAYS.values(),
    *schema.MAP_ARRAYS,
)
ARRAYS = (*STORED, *schema.OPTIONAL_ARRAYS)


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: array.name)
def test_every_array_is_described(array: schema.ArraySchema) -> None:
    row = (
        f"| `{array.path}` | `{array.name}` | {shape(array.shape)} | {array.dtype} | {array.unit} | {array.frame} "
        f"| {array.description} |"
    )
    assert row in DOCUMENT.read_text().splitlines()


@pytest.mark.parametrize("array", [*schema.MODEL_ARRAYS, *schema.ANNOTATION_ARRAYS], ids=lambda array: array.name)
def test_every_model_array_is_described(array: schema.ModelArraySchema) -> None:
    dimensions = ", ".join(map(str, array.shape)) + ("," if len(array.shape) == 1 else "")
    row = f"| `model/{array.name}` | ({dimensions}) | {array.dtype} | {array.unit} | {array.description} |"
    assert row in DOCUMENT.read_text().splitlines()


def test_every_field_of_the_stages_is_stored() -> None:
    names = {field.name for bundle in (Samples, Renders) for field in fields(bundle)}
    # What a face is beyond its coefficients is in its vertices.
    assert {array.name for array in STORED} == names - {"reason", "offset"}


def test_writer_and_reader_agree_on_the_format() -> None:
    assert (layout.FORMAT, layout.FORMAT_VERSION) == (schema.FORMAT, schema.FORMAT_VERSION)
