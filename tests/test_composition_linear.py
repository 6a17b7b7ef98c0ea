"""Principal components, and the start of a training that does what they do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facegen.composition.hierarchy import Hierarchy, build
from facegen.composition.initial import PASSED, start_linear
from facegen.composition.linear import PrincipalComponents
from facegen.composition.network import Architecture, MeshAutoencoder
from facegen.tests.autoencoders import Studio
from facegen.tests.surfaces import ball, sheet, together

Float = NDArray[np.float32]

TWO = build(*together(ball(10, 12), sheet(7, 8)), (3, 4))
ONE = build(*ball(10, 12), (4,))
HIERARCHIES = pytest.mark.parametrize("hierarchy", [TWO, ONE], ids=["two levels", "one level"])


def normal(*shape: int, seed: int = 0) -> Float:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def rms(values: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))


# --- principal components ---


@pytest.mark.parametrize("count", [1, 5, 12])
def test_components_are_those_of_a_singular_value_decomposition(count: int) -> None:
    faces = normal(12, 9, 3) * np.linspace(1, 3, 27, dtype=np.float32).reshape(9, 3) + 5
    components = PrincipalComponents.of(faces, count)
    mean = faces.mean(axis=0, dtype=np.float64)
    _, values, basis = np.linalg.svd((faces - mean).reshape(12, -1), full_matrices=False)
    # Twelve faces have a mean and eleven directions.
    found = min(count, 11)
    flat = components.basis.reshape(found, -1)
    np.testing.assert_allclose(components.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(components.deviation, values[:found] / np.sqrt(12), rtol=1e-5)
    np.testing.assert_allclose(np.abs((flat * basis[:found]).sum(axis=1)), 1, rtol=1e-4)
    np.testing.assert_allclose(flat @ flat.T, np.eye(found), rtol=0, atol=1e-4)
    codes = components.codes(faces)
    assert codes.shape == (12, found)
    np.testing.assert_allclose(codes.std(axis=0), components.deviation, rtol=1e-4)
    projected = (faces - mean).reshape(12, -1) @ basis[:found].T @ basis[:found]
    made = components.reconstructed(faces, count)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, mean + projected.reshape(faces.shape), rtol=0, atol=1e-4)


def test_fewer_components_of_many() -> None:
    faces = normal(12, 9, 3)
    many, few = PrincipalComponents.of(faces, 9), PrincipalComponents.of(faces, 4)
    np.testing.assert_allclose(many.reconstructed(faces, 4), few.reconstructed(faces, 4), rtol=0, atol=1e-5)
    errors = [rms(many.reconstructed(faces, count) - faces) for count in range(1, 10)]
    assert errors == sorted(errors, reverse=True)


# --- the start ---


def started(hierarchy: Hierarchy, faces: Float, *, parts: int = 3, latent: int = 8) -> MeshAutoencoder:
    weights = np.random.default_rng(0).random((hierarchy.sizes[-1], parts))
    channels = (7, 9)[: len(hierarchy.steps)]
    torch.manual_seed(0)
    network = MeshAutoencoder(
        hierarchy, weights / weights.sum(axis=1, keepdims=True), Architecture(channels, order=3, latent=latent)
    )
    start_linear(network, hierarchy, faces)
    return network


def made(network: MeshAutoencoder, faces: Float) -> Float:
    with torch.inference_mode():
        result: Float = network(torch.from_numpy(faces.transpose(1, 0, 2).copy())).numpy().transpose(1, 0, 2)
    return result


def spanned(hierarchy: Hierarchy, count: int, directions: int) -> Float:
    """Faces (N, n, 3) in a few directions, each of which is fixed by the coarsest vertices."""
    coarse = normal(directions + 1, hierarchy.sizes[-1], 3)
    fields = np.stack([hierarchy.upsampled(field) for field in coarse])
    faces = np.tensordot(normal(count, directions, seed=1), fields[1:], axes=1) + fields[0]
    return faces.astype(np.float32)


@HIERARCHIES
def test_faces_that_the_layers_can_hold_come_back(hierarchy: Hierarchy) -> None:
    faces = spanned(hierarchy, 40, 5)
    network = started(hierarchy, faces)
    # The ridge costs a little.
    assert rms(made(network, faces) - faces) < 3e-3 * rms(faces - faces.mean(axis=0))
    # Other faces as well, though the random channels carry what was only so in the first.
    fields = PrincipalComponents.of(faces, 5)
    others = np.tensordot(normal(6, 5, seed=2) * fields.deviation, fields.basis, axes=1) + fields.mean
    assert rms(made(network, others) - others) < 0.1 * rms(others - fields.mean)


@HIERARCHIES
@pytest.mark.parametrize("latent", [2, 8])
def test_codes_are_decoded_as_well_as_components_and_interpolation_allow(hierarchy: Hierarchy, latent: int) -> None:
    faces = spanned(hierarchy, 40, 5) + 0.05 * normal(40, hierarchy.sizes[0], 3, seed=3)
    network = started(hierarchy, faces, latent=latent)
    components = PrincipalComponents.of(faces, latent)
    codes = torch.from_numpy(components.codes(faces) / components.deviation)
    with torch.inference_mode():
        decoded = network.decode(network.project(codes)).numpy().transpose(1, 0, 2)
    linear = components.reconstructed(faces, latent)
    # The coarse values that are found come nearer than those of the components themselves.
    held = np.stack([hierarchy.upsampled(face[hierarchy.coarsest]) for face in linear])
    assert rms(decoded - linear) <= rms(held - linear) * (1 + 1e-5)
    assert rms(decoded - faces) <= rms(linear - faces) + rms(held - linear)


def test_the_start_on_a_face_model(studio: Studio) -> None:
    from facegen.tests.autoencoders import composition_of

    composition = composition_of(studio)
    network, hierarchy = composition.network, composition.hierarchy
    scale = np.float32(studio.faces.scale)
    faces = studio.faces.displacements / scale
    latent = network.architecture.latent
    linear = PrincipalComponents.of(faces, latent).reconstructed(faces, latent)
    held = np.stack([hierarchy.upsampled(face[hierarchy.coarsest]) for face in linear])
    assert rms(made(network, faces) - faces) <= 1.05 * (rms(linear - faces) + rms(held - linear))


@HIERARCHIES
def test_at_the_start_a_swapped_part_is_blended_by_the_local_weights(hierarchy: Hierarchy) -> None:
    faces = spanned(hierarchy, 40, 5)
    network = started(hierarchy, faces)
    with torch.inference_mode():
        codes = network.project(network.encode(torch.from_numpy(faces[:2].transpose(1, 0, 2).copy())))
        # At the start each part has the whole code.
        assert torch.equal(codes, codes[:, :1].expand_as(codes))
        one, other = network.decode(codes).transpose(0, 1).numpy()
        for part in range(network.parts):
            swapped = codes[:1].clone()
            swapped[0, part] = codes[1, part]
            found = network.decode(swapped)[:, 0].numpy()
            share = network.local_weights[:, part, None].numpy()
            coarse = (1 - share) * one[hierarchy.coarsest] + share * other[hierarchy.coarsest]
            np.testing.assert_allclose(found, hierarchy.upsampled(coarse), rtol=0, atol=1e-4)
        assert torch.equal(network.decode(codes.flip(0)), network.decode(codes).flip(1))


def test_channels_beyond_those_of_the_start_are_random_and_unheard() -> None:
    faces = spanned(TWO, 20, 3)
    network = started(TWO, faces)
    wanted = made(network, faces)
    with torch.no_grad():
        for layer in network.decoder[:-1]:
            assert layer.weight[:, :, PASSED:].std() > 0.01
            layer.weight[:, :, PASSED:].mul_(-3)
            layer.bias[PASSED:].add_(1)
        network.to_channels[:, :, PASSED:].mul_(2)
    assert np.array_equal(made(network, faces), wanted)


@pytest.mark.parametrize(
    "architecture",
    [Architecture((7, 9), latent=4, shared_map=True), Architecture((5, 9), latent=4), Architecture((9, 5), latent=4)],
    ids=["shared map", "narrow first", "narrow last"],
)
def test_a_network_that_cannot_pass_displacements_on_is_refused(architecture: Architecture) -> None:
    network = MeshAutoencoder(TWO, np.ones((TWO.sizes[-1], 1)), architecture)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"^a linear start needs a map for each coarse vertex, and 6 channels$"):
        start_linear(network, TWO, spanned(TWO, 20, 3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
