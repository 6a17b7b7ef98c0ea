"""Part swaps through the network: against plain calls of it, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen.composition.checkpoint import Composition, read_checkpoint
from facegen.composition.composer import SMOOTHING, Composer, Swap, SwapRules
from facegen.composition.fitting import Fitter
from facegen.composition.parts import whole
from facegen.composition.smoothing import Smoother
from facegen.morphable.model import MorphableModel

Float = NDArray[np.float32]
COUNT = 20
NUMBERS = np.arange(COUNT) * 7
PLAIN = SwapRules(fit=False, smooth=False, limit=None)
"""Parts as they are."""
RULES = {
    "as it comes": SwapRules(),
    "not fitted": SwapRules(fit=False),
    "not smoothed": SwapRules(smooth=False),
    "no limit": SwapRules(limit=None),
    "plain": PLAIN,
    "tight": SwapRules(limit=0.01),
}


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


@pytest.fixture(scope="module")
def others(head: MorphableModel, composer: Composer) -> tuple[Float, Float]:
    """Who gives each part, and how much of it: nothing, something, or all."""
    random = np.random.default_rng(1)
    sources = random.standard_normal((COUNT, len(composer.parts), len(head.identity_names))).astype(np.float32)
    alpha = random.choice([0, 0.35, 0.8, 1, 1], (COUNT, len(composer.parts))).astype(np.float32)
    return sources, alpha


def in_between(identity: Float, sources: Float, alpha: Float) -> Float:
    """(B, K, Ki) coefficients of persons between the own and the others, as float32."""
    share = alpha[:, :, None]
    mixed = ((1 - share) * identity[:, None] + share * sources).astype(np.float32)
    return np.where(share == 0, identity[:, None], mixed)


def codes_of(composer: Composer, people: Float) -> Float:
    """(B, K, Z) part k of person k, of people (B, K, Ki)."""
    return np.stack([composer.codes(people[:, k], NUMBERS)[:, k] for k in range(people.shape[1])], axis=1)


def equal(found: Swap, other: Swap, rows: NDArray[np.int64] | slice = slice(None)) -> None:
    assert found.skin.tobytes() == other.skin[rows].tobytes()
    assert found.kept.tobytes() == other.kept[rows].tobytes()


def beyond(head: MorphableModel, composer: Composer, skin: Float) -> NDArray[np.float64]:
    """(B, n, 3) mm: what least squares on the identity basis leaves of offsets (B, n, 3)."""
    basis = head.identity_basis[:, composer.skin.vertices].reshape(len(head.identity_names), -1).T.astype(np.float64)
    flat = skin.reshape(len(skin), -1).T.astype(np.float64)
    rest = flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]
    return np.asarray(rest.T.reshape(skin.shape))


def smoothed(head: MorphableModel, composer: Composer, skin: Float) -> NDArray[np.float64]:
    """(B, n, 3) mm: with that smoothed, and all else as it is."""
    rest, smoother = beyond(head, composer, skin), Smoother(composer.skin, SMOOTHING)
    return np.stack([one - left + smoother.smoothed(left) for one, left in zip(skin, rest, strict=True)])


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


# --- swaps of people's parts ---


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("share", [0, 0.35, 1])
def test_parts_of_oneself_change_nothing(composer: Composer, identity: Float, name: str, share: float) -> None:
    sources = np.repeat(identity[:, None], len(composer.parts), axis=1)
    alpha = np.full(sources.shape[:2], share, np.float32)
    swap = composer.swap(identity, sources, alpha, NUMBERS, RULES[name])
    assert (swap.skin.dtype, swap.kept.dtype) == (np.float32, np.float32)
    assert swap.skin.tobytes() == np.zeros((COUNT, len(composer.skin.vertices), 3), np.float32).tobytes()
    np.testing.assert_array_equal(swap.kept, 1)


@pytest.mark.parametrize("name", RULES)
def test_nothing_of_others_changes_nothing(
    composer: Composer, identity: Float, others: tuple[Float, Float], name: str
) -> None:
    sources = others[0].copy()
    # Not even of those who are not finite.
    sources[3, 1], sources[8] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        swap = composer.swap(identity, sources, np.zeros_like(others[1]), NUMBERS, RULES[name])
    assert swap.skin.tobytes() == np.zeros_like(swap.skin).tobytes()
    np.testing.assert_array_equal(swap.kept, 1)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("share", [0.35, 1])
def test_all_parts_of_one_person_are_that_person(
    head: MorphableModel, composer: Composer, identity: Float, name: str, share: float
) -> None:
    """Nothing has to be fitted, and however far the network is off is no reason to take anything back."""
    rules = RULES[name]
    partner = np.roll(identity, -1, axis=0)
    sources = np.repeat(partner[:, None], len(composer.parts), axis=1)
    alpha = np.full(sources.shape[:2], share, np.float32)
    swap = composer.swap(identity, sources, alpha, NUMBERS, rules)
    person = in_between(identity, sources, alpha)[:, 0]
    made = composer.decoded(composer.codes(person, NUMBERS), NUMBERS)
    own = composer.decoded(composer.codes(identity, NUMBERS), NUMBERS)
    replaced = composer.swap(identity, sources, alpha, NUMBERS, replace(rules, transfer="decode"))
    for found, expected in ((swap, made - own), (replaced, made - composer.displacements(identity, NUMBERS))):
        np.testing.assert_array_equal(found.kept, 1)
        if rules.smooth:
            np.testing.assert_allclose(found.skin, smoothed(head, composer, expected), rtol=0, atol=1e-4)
        else:
            np.testing.assert_array_equal(found.skin, expected)
    # To the bit, whatever is fitted and limited.
    equal(swap, composer.swap(identity, sources, alpha, NUMBERS, replace(PLAIN, smooth=rules.smooth)))


def test_a_part_in_between_is_that_of_a_person_in_between(
    composer: Composer, identity: Float, others: tuple[Float, Float]
) -> None:
    sources, alpha = others
    own, mixed = composer.codes(identity, NUMBERS), codes_of(composer, in_between(identity, sources, alpha))
    swap = composer.swap(identity, sources, alpha, NUMBERS, PLAIN)
    np.testing.assert_array_equal(swap.skin, composer.skin_offsets(identity, own, mixed, NUMBERS))
    np.testing.assert_array_equal(swap.kept, 1)
    plain = composer.swap(identity, sources, alpha, NUMBERS, replace(PLAIN, transfer="decode"))
    np.testing.assert_array_equal(plain.skin, composer.skin_offsets(identity, own, mixed, NUMBERS, "decode"))


def test_the_fit_is_added(
    composition: Composition, composer: Composer, identity: Float, others: tuple[Float, Float]
) -> None:
    weights = composition.hierarchy.upsampled(composition.parts.weights)
    fitter = Fitter(composer.skin, composition.parts, weights)
    people = in_between(identity, *others)
    fitted = composer.swap(identity, *others, NUMBERS, replace(PLAIN, fit=True))
    plain = composer.swap(identity, *others, NUMBERS, PLAIN)
    np.testing.assert_array_equal(fitted.kept, 1)
    for row in range(COUNT):
        shapes = np.stack([composer.displacements(people[:, k], NUMBERS)[row] for k in range(len(composer.parts))])
        moved = fitter.moved(shapes.astype(np.float64))
        np.testing.assert_allclose(fitted.skin[row], plain.skin[row] + moved, rtol=0, atol=2e-5)
    assert np.abs(fitted.skin - plain.skin).max() > 1


def test_what_the_model_cannot_hold_is_smoothed(
    head: MorphableModel, composer: Composer, identity: Float, others: tuple[Float, Float]
) -> None:
    rough = composer.swap(identity, *others, NUMBERS, SwapRules(smooth=False, limit=None))
    smooth = composer.swap(identity, *others, NUMBERS, SwapRules(limit=None))
    np.testing.assert_allclose(smooth.skin, smoothed(head, composer, rough.skin), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(smooth.kept, 1)
    before, after = beyond(head, composer, rough.skin), beyond(head, composer, smooth.skin)
    changed = rough.skin.any(axis=(1, 2))
    assert changed.any()
    squared = [np.square(rest[changed]).sum(axis=(1, 2)) for rest in (before, after)]
    assert (squared[1] < squared[0]).all()


@pytest.mark.parametrize("fit", [True, False])
def test_no_vertex_leads_farther_than_the_limit(
    head: MorphableModel, composer: Composer, identity: Float, others: tuple[Float, Float], *, fit: bool
) -> None:
    free = composer.swap(identity, *others, NUMBERS, SwapRules(fit=fit, limit=None))

    def off(skin: Float) -> NDArray[np.float64]:
        """(B,) mm from the face of the model that is nearest by all vertices."""
        return np.asarray(np.linalg.norm(beyond(head, composer, skin), axis=2).max(axis=1))

    far = off(free.skin)
    limit = float(np.median(far))
    swap = composer.swap(identity, *others, NUMBERS, SwapRules(fit=fit, limit=limit))
    expected = np.minimum(1, limit / np.maximum(far, 1e-9))
    np.testing.assert_allclose(swap.kept, expected, rtol=1e-4)
    assert (swap.kept == 1).any()
    assert (swap.kept < 0.9).any()
    np.testing.assert_array_equal(swap.skin, free.skin * swap.kept[:, None, None])
    below = far < limit * (1 - 1e-4)
    np.testing.assert_array_equal(swap.kept[below], 1)
    assert swap.skin[below].tobytes() == free.skin[below].tobytes()
    assert off(swap.skin).max() <= limit * (1 + 1e-5)
    # A wider limit never takes back more.
    wider = composer.swap(identity, *others, NUMBERS, SwapRules(fit=fit, limit=1.5 * limit))
    assert (wider.kept >= swap.kept).all()


def test_rules_as_they_come(composer: Composer, identity: Float, others: tuple[Float, Float]) -> None:
    equal(composer.swap(identity, *others, NUMBERS), composer.swap(identity, *others, NUMBERS, SwapRules()))


@pytest.mark.parametrize("rules", [SwapRules(), SwapRules("decode", fit=False, limit=0.5)])
def test_a_swap_does_not_depend_on_its_batch(
    composer: Composer, identity: Float, others: tuple[Float, Float], rules: SwapRules
) -> None:
    sources, alpha = others
    whole = composer.swap(identity, sources, alpha, NUMBERS, rules)
    for rows in (np.array([11]), np.arange(COUNT)[::-1], np.array([3, 0, 17, 5])):
        equal(composer.swap(identity[rows], sources[rows], alpha[rows], NUMBERS[rows], rules), whole, rows)


def test_what_is_not_finite_harms_nobody(composer: Composer, identity: Float, others: tuple[Float, Float]) -> None:
    sources, alpha = others[0].copy(), np.ones_like(others[1])
    alpha[5, 1] = 0
    well = composer.swap(identity, sources, alpha, NUMBERS)
    own = identity.copy()
    own[9, 2] = np.nan
    sources[2, 0, 4], sources[13], sources[5, 1] = np.nan, np.inf, np.nan
    with np.errstate(invalid="ignore"):
        swap = composer.swap(own, sources, alpha, NUMBERS)
    # Row 5 takes nothing of the part whose giver is not finite.
    sound = np.setdiff1d(np.arange(COUNT), [2, 9, 13])
    assert swap.skin[sound].tobytes() == well.skin[sound].tobytes()
    assert swap.kept[sound].tobytes() == well.kept[sound].tobytes()
    assert not np.isfinite(swap.skin[[2, 9, 13]]).any()
    nobody = composer.swap(own[[2, 9]], np.full_like(sources[:2], np.nan), alpha[:2], NUMBERS[:2])
    assert not np.isfinite(nobody.skin).any()


# --- all vertices ---


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
