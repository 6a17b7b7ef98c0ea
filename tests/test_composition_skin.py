"""The skin of a face model: what belongs to it, and that a bust changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegen.composition.skin import INNER, LANDMARKS, Skin
from facegen.errors import ModelError
from facegen.morphable.config import DefaultModelConfig, IctModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.morphable.topology import BUST
from facegen.tests.surfaces import components
from facegen.tests.synthetic import textured_model


def check(model: MorphableModel) -> Skin:
    """The skin of a model, tried against the model."""
    skin, topology = Skin.of(model), model.topology
    assert (np.diff(skin.vertices) > 0).all()
    assert np.array_equal(np.unique(skin.triangles), np.arange(len(skin.vertices)))
    inner = np.isin(np.array(topology.region_names)[topology.triangle_region], (*INNER, BUST))
    assert np.array_equal(skin.vertices[skin.triangles], topology.triangles[~inner])
    assert skin.mean.dtype == np.float64
    assert np.array_equal(skin.mean, model.mean[skin.vertices])
    assert skin.landmarks.shape == (LANDMARKS,)
    assert np.array_equal(skin.vertices[skin.landmarks], topology.landmarks)
    # A vertex is of the region of its first triangle.
    regions = topology.triangle_region[~inner]
    for vertex in np.linspace(0, len(skin.vertices) - 1, 97).astype(int):
        first = np.flatnonzero((skin.triangles == vertex).any(axis=1))[0]
        assert skin.region[vertex] == regions[first]
    for name in skin.region_names:
        assert np.array_equal(skin.within(name), skin.region == skin.region_names.index(name))
        assert skin.within(name).any() or name not in np.array(skin.region_names)[np.unique(skin.region)]
    assert not skin.within(*INNER, BUST, "no such region").any()
    assert skin.within(*skin.region_names).all()
    return skin


@pytest.mark.parametrize("resolution", ["coarse", "default"])
def test_a_bust_is_no_part_of_the_skin(resolution: str) -> None:
    with_bust, without = (
        check(load_model(DefaultModelConfig.model_validate({"resolution": resolution, "bust": bust})))
        for bust in (True, False)
    )
    assert with_bust.sha256 == without.sha256
    assert np.array_equal(with_bust.triangles, without.triangles)
    assert np.array_equal(with_bust.mean, without.mean)
    assert np.array_equal(with_bust.landmarks, without.landmarks)
    assert components(without.triangles, len(without.mean)) == 1


def test_resolutions_are_told_apart(head: MorphableModel) -> None:
    skins = [Skin.of(head), Skin.of(load_model(DefaultModelConfig(bust=False)))]
    assert len({skin.sha256 for skin in skins}) == 2
    turned = head.topology.triangles.copy()
    turned[0] = np.roll(turned[0], 1)
    other = Skin.of(replace(head, topology=replace(head.topology, triangles=turned)))
    assert other.sha256 != skins[0].sha256
    # The digest is of the connectivity: the same mesh of another shape is in correspondence.
    larger = Skin.of(replace(head, mean=2 * head.mean))
    assert larger.sha256 == skins[0].sha256


@pytest.mark.parametrize(("inner", "vertices"), [(False, 11248), (True, 14062)])
def test_the_skin_of_the_real_model(ict: Path, inner: bool, vertices: int) -> None:
    # Pockets for eyes and teeth come with them.
    skin = check(load_model(IctModelConfig(path=ict, part="head", eyes=inner, teeth=inner)))
    assert skin.mean.shape == (vertices, 3)


def test_landmarks_in_another_order_are_refused() -> None:
    line = "^the model 'textured' has 5 landmarks; expected 68 in the Multi-PIE order$"
    with pytest.raises(ModelError, match=line):
        Skin.of(textured_model())


def test_landmarks_off_the_skin_are_refused(head: MorphableModel) -> None:
    topology = head.topology
    eyeball = topology.triangle_region == topology.region_names.index("eyeball_left")
    landmarks = topology.landmarks.copy()
    landmarks[36] = topology.triangles[eyeball][0, 0]
    with pytest.raises(ModelError, match=r"^the model 'default' has landmarks that are not on its skin$"):
        Skin.of(replace(head, topology=replace(topology, landmarks=landmarks)))
