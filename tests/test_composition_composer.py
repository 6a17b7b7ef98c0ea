"""Part swaps through the network: against plain calls of it, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen.composition.checkpoint import Composition, read_checkpoint
from facegen.composition.composer import Composer
from facegen.composition.parts import whole
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]
COUNT = 20
NUMBERS = np.arange(COUNT) * 7


@pytest.fixture(scope="module")
def composition(autoencoder: Path) -> Composition:
    return read_checkpoint(autoencoder)[0]


@pytest.fixture(scope="module")
def composer(head: MorphableModel, composition: Composition) -> Composer:
    return Composer(head, composition)


@pytest.fixture(scope="module")
def identity(head: MorphableModel) -> Float:
    values = np.random.default_rng(0).standard_normal((COUNT, len(head.identity_names)))
    return values.astype(np.float32)


def swapped(codes: Float, part: int) -> Float:
    """Codes of which each face has one part of the next."""
    result = codes.copy()
    result[:, part] = np.roll(codes[:, part], -1, axis=0)
    return result


def test_it_is_the_network(head: MorphableModel, composition: Composition, composer: Composer, identity: Float) -> None:
    network, skin = composition.network, composer.skin
    still = np.zeros((COUNT, len(head.expression_names)), np.float32)
    displaced = head.decode(identity, still)[:, skin.vertices] - skin.mean.astype(np.float32)
    with torch.inference_mode():
        given = torch.from_numpy(displaced.transpose(1, 0, 2).copy()) / network.scale
        codes = network.project(network.encode(given))
        made = (network.decode(codes) * network.scale).numpy().transpose(1, 0, 2)
    found = composer.codes(identity, NUMBERS)
    assert found.shape == (COUNT, len(composer.parts), network.architecture.latent)
    np.testing.assert_allclose(composer.displacements(identity, NUMBERS), displaced, atol=1e-4)
    np.testing.assert_allclose(found, codes.numpy(), atol=1e-3)
    np.testing.assert_allclose(composer.decoded(codes.numpy(), NUMBERS), made, atol=1e-3)
    assert composer.parts == composition.parts.names


def test_swapping_with_oneself_changes_nothing(composer: Composer, identity: Float) -> None:
    codes = composer.codes(identity, NUMBERS)
    offset = composer.skin_offsets(identity, codes, codes.copy(), NUMBERS)
    assert offset.tobytes() == np.zeros_like(offset).tobytes()


@pytest.mark.parametrize("part", range(3))
def test_a_difference_adds_what_the_network_changes(composer: Composer, identity: Float, part: int) -> None:
    own = composer.codes(identity, NUMBERS)
    mixed = swapped(own, part)
    before, after = composer.decoded(own, NUMBERS), composer.decoded(mixed, NUMBERS)
    offset = composer.skin_offsets(identity, own, mixed, NUMBERS)
    np.testing.assert_array_equal(offset, after - before)
    assert (np.abs(offset).max(axis=(1, 2)) > 0.1).all()
    plain = composer.skin_offsets(identity, own, mixed, NUMBERS, "decode")
    np.testing.assert_array_equal(plain, after - composer.displacements(identity, NUMBERS))


def test_a_row_does_not_depend_on_its_batch(composer: Composer, identity: Float) -> None:
    codes = composer.codes(identity, NUMBERS)
    mixed = swapped(codes, 0)
    skin = composer.skin_offsets(identity, codes, mixed, NUMBERS)
    whole = composer.offsets(identity, skin, NUMBERS)
    for rows in (np.array([11]), np.arange(COUNT)[::-1], np.array([3, 0, 17, 5])):
        some = identity[rows], NUMBERS[rows]
        assert composer.codes(*some).tobytes() == codes[rows].tobytes()
        found = composer.skin_offsets(some[0], codes[rows], mixed[rows], some[1])
        assert found.tobytes() == skin[rows].tobytes()
        assert composer.offsets(some[0], found, some[1]).tobytes() == whole[rows].tobytes()


def test_offsets_of_all_vertices(head: MorphableModel, composer: Composer, identity: Float) -> None:
    codes = composer.codes(identity, NUMBERS)
    skin = composer.skin_offsets(identity, codes, swapped(codes, 1), NUMBERS)
    skin[4, 100, 2], skin[9] = np.nan, np.inf
    offset = composer.offsets(identity, skin, NUMBERS)
    assert offset.shape == (COUNT, len(head.mean), 3)
    sound = np.setdiff1d(np.arange(COUNT), [4, 9])
    np.testing.assert_array_equal(offset[sound][:, composer.skin.vertices], skin[sound])
    assert np.isfinite(offset[sound]).all()
    assert np.isnan(offset[[4, 9]]).all()


def test_a_network_without_parts_is_refused(head: MorphableModel, composition: Composition) -> None:
    parts = whole(len(composition.parts.weights))
    with pytest.raises(ValueError, match="parts for 1 names of parts"):
        Composer(head, replace(composition, parts=parts))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_a_gpu_gives_nearly_the_same_and_the_same_again(
    head: MorphableModel, autoencoder: Path, composer: Composer, identity: Float
) -> None:
    on_gpu = Composer(head, read_checkpoint(autoencoder)[0], "cuda")
    codes = on_gpu.codes(identity, NUMBERS)
    np.testing.assert_allclose(codes, composer.codes(identity, NUMBERS), atol=1e-2)
    made = on_gpu.decoded(codes, NUMBERS)
    np.testing.assert_allclose(made, composer.decoded(codes, NUMBERS), atol=1e-2)
    for rows in (np.array([11]), np.arange(COUNT)[::-1]):
        assert on_gpu.decoded(codes[rows], NUMBERS[rows]).tobytes() == made[rows].tobytes()
