"""The annotation of a model."""

from __future__ import annotations

from facegen.annotation.dense import dense_landmarks
from facegen.annotation.layers import draw_layers
from facegen.imaging.annotation import LAYERS, Annotation
from facegen.imaging.atlas import Atlas
from facegen.morphable.model import MorphableModel

LAYER_SIZE = 768
"""Texels a side of the map of layers: that of the embedded model's albedo, in which brows and hairline are painted."""


def annotate(model: MorphableModel) -> Annotation:
    """The labels of a model's surface."""
    atlas = Atlas(model.topology, LAYER_SIZE)
    return Annotation(draw_layers(model, atlas), LAYERS, dense_landmarks(model))
