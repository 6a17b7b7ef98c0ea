"""The locally weighted autoencoder: the paper's tables, CoMA as a special case, and what local weights decide."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from facegen.composition.chebyshev import ChebyshevConvolution
from facegen.composition.hierarchy import Hierarchy, Step, build
from facegen.composition.network import Architecture, MeshAutoencoder
from facegen.tests.surfaces import ball, sheet, together

SMALL = build(*together(ball(10, 12), sheet(7, 8)), (3, 4))
SINGLE = build(*sheet(7, 8), (3,))


def strip(*sizes: int) -> Hierarchy:
    """A hierarchy of strips of triangles with given sizes, in which every so-manieth vertex is kept."""
    meshes = [np.arange(size - 2)[:, None] + np.arange(3) for size in sizes]
    steps = []
    for (fine, coarse), mesh in zip(pairwise(sizes), meshes[1:], strict=True):
        factor = -(-fine // coarse)
        weights = np.tile(np.array([1, 0, 0], np.float32), (fine, 1))
        steps.append(
            Step(factor * np.arange(coarse), mesh, np.arange(fine)[:, None] // factor + np.zeros(3, int), weights)
        )
    return Hierarchy(meshes[0], tuple(steps))


def local_weights(hierarchy: Hierarchy, parts: int, seed: int = 0) -> NDArray[np.float64]:
    weights = np.random.default_rng(seed).random((hierarchy.sizes[-1], parts))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def made(
    hierarchy: Hierarchy, weights: NDArray[np.float64], architecture: Architecture, seed: int = 0
) -> MeshAutoencoder:
    """In float64, with biases that say something too."""
    random = torch.Generator().manual_seed(seed)
    network = MeshAutoencoder(hierarchy, weights, architecture).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
        network.local_weights.copy_(torch.from_numpy(weights))
    return network


def faces(hierarchy: Hierarchy, count: int, seed: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(hierarchy.sizes[0], count, 3, generator=random, dtype=torch.float64)


def assert_equal(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


# --- Tables 1 and 2 ---


def test_the_layers_of_the_paper() -> None:
    hierarchy = strip(53215, 13304, 3326, 832, 208)
    network = MeshAutoencoder(hierarchy, local_weights(hierarchy, 4), Architecture((16, 16, 16, 32)))
    shapes: list[tuple[str, tuple[int, ...]]] = []

    def seen(name: str) -> None:
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: shapes.append((name, tuple(output.shape)))
        )

    for name in [f"{group}.{level}" for group in ("encoder", "up", "decoder") for level in range(4)] + ["to_code"]:
        seen(name)
    with torch.inference_mode():
        code = network.encode(torch.zeros(53215, 2, 3))
        part_codes = network.project(code)
        result = network.decode(part_codes)
    # Convolution and down-sampling are one: no vertex is computed that is dropped.
    assert shapes == [
        ("encoder.0", (13304, 2, 16)), ("encoder.1", (3326, 2, 16)), ("encoder.2", (832, 2, 16)),
        ("encoder.3", (208, 2, 32)), ("to_code", (2, 64)),
        ("up.0", (832, 2, 32)), ("decoder.0", (832, 2, 16)), ("up.1", (3326, 2, 16)), ("decoder.1", (3326, 2, 16)),
        ("up.2", (13304, 2, 16)), ("decoder.2", (13304, 2, 16)), ("up.3", (53215, 2, 16)), ("decoder.3", (53215, 2, 3)),
    ]  # fmt: skip
    assert code.shape == (2, 64)
    assert part_codes.shape == (2, 4, 64)
    assert result.shape == (53215, 2, 3)
    weights = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    convolutions = {
        f"{group}.{level}.{kind}": (6, before, after) if kind == "weight" else (after,)
        for group, channels in (("encoder", (3, 16, 16, 16, 32)), ("decoder", (32, 16, 16, 16, 3)))
        for level, (before, after) in enumerate(pairwise(channels))
        for kind in ("weight", "bias")
    }
    # Projections have no bias; the map to channels is one for each of the 208 vertices.
    assert weights == convolutions | {
        "to_code.weight": (64, 208 * 32), "to_code.bias": (64,), "projections": (4, 64, 64),
        "to_channels": (208, 64, 32), "channel_bias": (208, 1, 32),
    }  # fmt: skip
    assert network.parts == 4
    assert set(network.state_dict()) == {*weights, "local_weights", "scale"}


@settings(max_examples=20, deadline=None)
@given(
    channels=st.lists(st.integers(1, 9), min_size=2, max_size=2),
    order=st.integers(1, 4),
    latent=st.integers(1, 7),
    parts=st.integers(1, 4),
    count=st.integers(1, 3),
    projections=st.booleans(),
    shared=st.booleans(),
)
def test_any_sizes_fit_together(
    channels: list[int], order: int, latent: int, parts: int, count: int, projections: bool, shared: bool
) -> None:
    architecture = Architecture(tuple(channels), order, latent, projections, shared)
    network = made(SMALL, local_weights(SMALL, parts), architecture)
    x = faces(SMALL, count).requires_grad_()
    result = network(x)
    assert result.shape == x.shape
    # A face does not depend on the others of its batch.
    assert_equal(result[:, :1], network(x[:, :1]))
    result.sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in (x, *network.parameters()))
    assert Architecture(**{**architecture.as_dict(), "channels": tuple(channels)}) == architecture


def test_as_many_channels_as_levels() -> None:
    with pytest.raises(ValueError, match=r"^3 levels of channels for a hierarchy of 2 steps$"):
        MeshAutoencoder(SMALL, local_weights(SMALL, 2), Architecture((4, 4, 4)))


def test_a_network_moves_to_another_precision_and_back() -> None:
    network = MeshAutoencoder(SMALL, local_weights(SMALL, 3), Architecture((4, 8), latent=5))
    x = faces(SMALL, 2).float()
    wanted = network(x)
    torch.testing.assert_close(network.double()(x.double()).float(), wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(network.float().to("cpu")(x), wanted)


def test_the_weights_are_all_that_tells_networks_apart() -> None:
    architecture = Architecture((4, 8), latent=5)
    one, other = (made(SMALL, local_weights(SMALL, 3, seed), architecture, seed) for seed in (0, 1))
    x = faces(SMALL, 2)
    assert not torch.allclose(one(x), other(x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(x), other(x))


# --- against the definition ---


def convolved(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """``Σ_k T_k(L̃) x θ_k + bias`` of all vertices, by the recursion."""
    assert isinstance(layer, ChebyshevConvolution)
    dense = layer.laplacian.forth.to_dense()
    terms = [x, torch.einsum("vw,wbf->vbf", dense, x)]
    while len(terms) < len(layer.weight):
        terms.append(2 * torch.einsum("vw,wbf->vbf", dense, terms[-1]) - terms[-2])
    return torch.stack([t @ w for t, w in zip(terms, layer.weight, strict=False)]).sum(dim=0) + layer.bias


def written_out(network: MeshAutoencoder, hierarchy: Hierarchy, x: torch.Tensor) -> torch.Tensor:
    """Section 3 of the paper, a face and a vertex at a time where that is plainest."""
    features = x
    for layer, step in zip(network.encoder, hierarchy.steps, strict=True):
        features = torch.relu(convolved(layer, features))[torch.from_numpy(step.kept)]
    assert network.projections is not None
    result = []
    for face in range(x.shape[1]):
        code = network.to_code.weight @ features[:, face].reshape(-1) + network.to_code.bias
        parts = [projection @ code for projection in network.projections]
        rows = []
        for vertex, weights in enumerate(network.local_weights):
            mixed = torch.stack([w * z for w, z in zip(weights, parts, strict=True)]).sum(dim=0)
            number = vertex % len(network.to_channels)
            rows.append(mixed @ network.to_channels[number] + network.channel_bias[number, 0])
        result.append(torch.stack(rows))
    field = torch.stack(result, dim=1)
    for level, (layer, step) in enumerate(zip(network.decoder, reversed(hierarchy.steps), strict=True)):
        weights = torch.from_numpy(step.weights).double()
        field = convolved(layer, torch.einsum("nc,ncbf->nbf", weights, field[torch.from_numpy(step.corners)]))
        if level < len(hierarchy.steps) - 1:
            field = torch.relu(field)
    return field


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("hierarchy", [SMALL, SINGLE], ids=["two levels", "one level"])
def test_it_is_what_the_paper_says(hierarchy: Hierarchy, shared: bool) -> None:
    architecture = Architecture((4, 8)[: len(hierarchy.steps)], order=4, latent=5, shared_map=shared)
    network = made(hierarchy, local_weights(hierarchy, 3), architecture)
    x = faces(hierarchy, 2)
    assert_equal(network(x), written_out(network, hierarchy, x))


@pytest.mark.parametrize("parts", [2, 5])
def test_without_projections_local_weights_count_for_nothing(parts: int) -> None:
    """Rows of sum 1 then leave the one code as it is: the network is CoMA."""
    architecture = Architecture((4, 8), latent=5, projections=False)
    coma, other = (
        made(SMALL, weights, architecture) for weights in (np.ones((SMALL.sizes[-1], 1)), local_weights(SMALL, parts))
    )
    x = faces(SMALL, 2)
    assert_equal(other(x), coma(x))
    code = coma.encode(x)
    assert_equal(other.project(code), code[:, None].expand(-1, parts, -1))


def test_equal_projections_are_one_projection() -> None:
    network = made(SMALL, local_weights(SMALL, 3), Architecture((4, 8), latent=5))
    x = faces(SMALL, 2)
    assert network.projections is not None
    with torch.no_grad():
        network.projections.copy_(network.projections[:1].expand(3, -1, -1).clone())
    single = made(SMALL, np.ones((SMALL.sizes[-1], 1)), Architecture((4, 8), latent=5))
    state = network.state_dict()
    single.load_state_dict({**state, "local_weights": single.local_weights, "projections": state["projections"][:1]})
    assert_equal(network(x), single(x))


# --- what local weights decide ---


def test_before_the_first_relu_decoding_is_linear_in_local_weights_and_codes() -> None:
    # With one level there is no ReLU in the decoder at all.
    architecture = Architecture((8,), latent=5)
    networks = [made(SINGLE, local_weights(SINGLE, 3, seed), architecture) for seed in (0, 1)]
    middle = made(SINGLE, 0.3 * local_weights(SINGLE, 3, 0) + 0.7 * local_weights(SINGLE, 3, 1), architecture)
    one, other = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert_equal(middle.decode(one), 0.3 * networks[0].decode(one) + 0.7 * networks[1].decode(one))
    network = networks[0]
    assert_equal(network.decode(0.25 * one + 0.75 * other), 0.25 * network.decode(one) + 0.75 * network.decode(other))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_part_moves_only_what_its_weights_reach(order: int) -> None:
    # The two components are far apart, and the part is one of them.
    on_ball = np.arange(SMALL.sizes[0]) < 120
    weights = np.stack([on_ball[SMALL.coarsest], ~on_ball[SMALL.coarsest]], axis=1).astype(np.float64)
    network = made(SMALL, weights, Architecture((4, 8), order=order, latent=5))
    codes = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    swapped = codes.clone()
    swapped[0, 0] = codes[1, 0]
    before, after = network.decode(codes), network.decode(swapped)
    assert torch.equal(before[~on_ball], after[~on_ball])
    assert not torch.allclose(before[on_ball, 0], after[on_ball, 0])
    assert_equal(after[on_ball, 0], before[on_ball, 1])
    assert torch.equal(before[:, 1], after[:, 1])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_within_one_surface_polynomials_carry_a_part_no_farther_than_their_order(order: int) -> None:
    coarse = SINGLE.sizes[-1]
    weights = np.zeros((coarse, 2))
    weights[:, 1] = 1
    weights[0] = (1, 0)
    network = made(SINGLE, weights, Architecture((8,), order=order, latent=5))
    codes = torch.randn(2, 2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    swapped = codes.clone()
    swapped[0, 0] = codes[1, 0]
    with torch.inference_mode():
        change = (network.decode(swapped) - network.decode(codes))[:, 0].abs().amax(dim=1)
    moved = change.numpy() > 1e-12
    step, triangles = SINGLE.steps[0], SINGLE.triangles
    reached = ((step.corners == 0) & (step.weights > 0)).any(axis=1)
    for _ in range(order - 1):
        near = triangles[reached[triangles].any(axis=1)]
        reached[near.reshape(-1)] = True
    assert not reached.all()
    assert np.array_equal(moved, reached)


def test_swapping_all_parts_gives_the_other_face() -> None:
    network = made(SMALL, local_weights(SMALL, 3), Architecture((4, 8), latent=5))
    codes = network.project(network.encode(faces(SMALL, 2)))
    assert torch.equal(network.decode(codes.flip(0)), network.decode(codes).flip(1))
