"""Chebyshev convolutions and sampling: against the polynomials written out densely, and against torch-geometric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from facegen.composition.chebyshev import ChebyshevConvolution, SparseMatrix, interpolation, scaled_laplacian
from facegen.tests.surfaces import ball, sheet, together

CHANNELS = [(1, 1), (3, 16), (16, 16), (16, 32), (32, 16), (16, 3), (4, 3), (9, 8), (8, 7), (1, 5), (5, 1)]
"""Wider, equal and narrower; on both sides of where the products are made one by one."""


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def laplacian(rows: int = 5, columns: int = 7) -> SparseMatrix:
    vertices, triangles = sheet(rows, columns)
    return SparseMatrix(scaled_laplacian(triangles, len(vertices)), symmetric=True)


def some(count: int, of: int) -> torch.Tensor:
    return torch.randperm(of, generator=torch.Generator().manual_seed(3))[:count].sort().values


def made(
    matrix: SparseMatrix, inputs: int, outputs: int, order: int, kept: torch.Tensor | None
) -> ChebyshevConvolution:
    """In float64, with weights that all have something to say."""
    layer = ChebyshevConvolution(matrix, inputs, outputs, order, kept).double()
    with torch.no_grad():
        layer.weight.copy_(normal(order, inputs, outputs, seed=1))
        layer.bias.copy_(normal(outputs, seed=2))
    return layer


def twin(layer: ChebyshevConvolution, x: torch.Tensor) -> torch.Tensor:
    """The definition: ``Σ_k T_k(L̃) x θ_k + bias`` with dense polynomials of a dense matrix."""
    dense = layer.laplacian.forth.to_dense()
    polynomials = [torch.eye(len(dense), dtype=dense.dtype), dense]
    while len(polynomials) < len(layer.weight):
        polynomials.append(2 * dense @ polynomials[-1] - polynomials[-2])
    y = sum(torch.einsum("vw,wbi,io->vbo", t, x, w) for t, w in zip(polynomials, layer.weight, strict=False))
    assert isinstance(y, torch.Tensor)
    y = y + layer.bias
    return y if layer.kept is None else y[layer.kept]


# --- the Laplacian ---


def test_the_laplacian_is_that_of_the_definition() -> None:
    vertices, triangles = together(ball(6, 8), sheet(4, 5))
    count = len(vertices) + 1
    adjacency = np.zeros((count, count))
    for a, b, c in triangles:
        for i, j in ((a, b), (b, c), (c, a)):
            adjacency[i, j] = adjacency[j, i] = 1
    degree = adjacency.sum(axis=1)
    assert degree[-1] == 0  # A vertex without neighbours has nothing to divide by.
    root = np.diag(np.where(degree > 0, 1 / np.sqrt(np.maximum(degree, 1)), 0))
    found = scaled_laplacian(triangles, count).toarray()
    np.testing.assert_allclose(found, -root @ adjacency @ root, rtol=0, atol=1e-15)
    assert np.array_equal(found, found.T)


def test_its_spectrum_lies_within_one() -> None:
    vertices, triangles = together(ball(6, 8), sheet(4, 5))
    values = np.linalg.eigvalsh(scaled_laplacian(triangles, len(vertices)).toarray())
    # 2 L / λ_max - I with the smallest eigenvalue 0 of L, once for each component.
    assert np.isclose(values, -1, atol=1e-12).sum() == 2
    assert values.min() >= -1 - 1e-12
    assert values.max() <= 1 + 1e-12


# --- products with a sparse matrix ---


def scattered(rows: int, columns: int) -> sparse.csr_array:
    random = np.random.default_rng(0)
    dense = random.normal(size=(rows, columns)) * (random.random((rows, columns)) < 0.2)
    return sparse.csr_array(dense.astype(np.float32))


@pytest.mark.parametrize("batch", [1, 4])
def test_a_sparse_product_is_the_dense_one(batch: int) -> None:
    matrix = scattered(23, 11)
    ours, theirs = (normal(11, batch, 3).requires_grad_() for _ in range(2))
    found = SparseMatrix(matrix).double()(ours)
    wanted = torch.einsum("nm,mbf->nbf", torch.from_numpy(matrix.toarray()).double(), theirs)
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-13)
    weights = normal(23, batch, 3, seed=1)
    torch.testing.assert_close(
        *(torch.autograd.grad((y * weights).sum(), x)[0] for y, x in ((found, ours), (wanted, theirs))),
        rtol=1e-13,
        atol=1e-13,
    )


def test_a_product_does_not_read_what_its_memory_held() -> None:
    matrix, x = SparseMatrix(scattered(400, 300)), torch.ones(300, 2, 8)
    wanted = matrix(x)
    for _ in range(20):
        torch.full((400, 16), torch.nan)
        assert torch.equal(matrix(x), wanted)


def test_only_a_symmetric_matrix_keeps_one_copy() -> None:
    matrix = laplacian()
    assert matrix.back is matrix.forth
    moved = matrix.double()
    assert moved.back is moved.forth
    assert moved.forth.dtype == torch.float64
    other = SparseMatrix(scattered(5, 4))
    assert other.back.shape == (4, 5)
    assert torch.equal(other.back.to_dense(), other.forth.to_dense().T)


def test_interpolation_puts_points_between_corners() -> None:
    corners = np.array([[0, 0, 0], [0, 1, 2], [3, 1, 1], [2, 3, 0]])
    weights = np.array([[1, 0, 0], [0.25, 0.25, 0.5], [0.5, 0.25, 0.25], [0, 1, 0]], np.float32)
    matrix = interpolation(corners, weights, 5)
    wanted = [[1, 0, 0, 0, 0], [0.25, 0.25, 0.5, 0, 0], [0, 0.5, 0, 0.5, 0], [0, 0, 0, 1, 0]]
    assert np.array_equal(matrix.toarray(), wanted)
    # Weights of 0 are not stored: a kept vertex costs one product.
    assert matrix.nnz == 1 + 3 + 2 + 1


# --- convolutions ---


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), CHANNELS)
def test_a_convolution_and_its_gradients_are_those_of_the_definition(
    inputs: int, outputs: int, keeps: bool, order: int
) -> None:
    layer = made(laplacian(), inputs, outputs, order, some(9, 35) if keeps else None)
    ours, theirs = (normal(35, 3, inputs).requires_grad_() for _ in range(2))
    found, wanted = layer(ours), twin(layer, theirs)
    assert found.shape == (9 if keeps else 35, 3, outputs)
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
    weights = normal(*found.shape, seed=4)
    gradients = [
        torch.autograd.grad((y * weights).sum(), [x, layer.weight, layer.bias])
        for y, x in ((found, ours), (wanted, theirs))
    ]
    for name, own, right in zip(("x", "weight", "bias"), *gradients, strict=True):
        torch.testing.assert_close(own, right, rtol=1e-11, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 16), (16, 3), (32, 16)])
def test_inputs_need_no_gradient_and_no_layout(inputs: int, outputs: int) -> None:
    layer = made(laplacian(), inputs, outputs, 6, some(9, 35))
    plain = normal(35, 3, inputs)
    strided = plain.transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    assert not strided.is_contiguous()
    weights = normal(3, 9, outputs, seed=4).transpose(0, 1)
    results = []
    for x in (plain, strided):
        layer.zero_grad()
        (layer(x) * weights).sum().backward()
        assert layer.weight.grad is not None
        results.append(layer.weight.grad)
    assert torch.equal(*results)
    x = plain.clone().requires_grad_()
    (layer(x) * weights).sum().backward()
    assert x.grad is not None
    assert strided.grad is not None
    assert torch.equal(x.grad, strided.grad)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 16), (16, 3)])
def test_it_leaves_its_input_as_it_is(inputs: int, outputs: int) -> None:
    for order in (1, 2, 6):
        layer = made(laplacian(), inputs, outputs, order, None)
        x = normal(35, 2, inputs)
        before = x.clone()
        y = layer(x.requires_grad_())
        gradient = normal(*y.shape)
        expected = gradient.clone()
        y.backward(gradient)
        assert torch.equal(x, before)
        assert torch.equal(gradient, expected)


def test_a_face_is_the_same_in_any_batch() -> None:
    layer = made(laplacian(), 3, 16, 6, some(9, 35)).float()
    x = normal(35, 5, 3).float()
    alone = torch.cat([layer(x[:, face : face + 1]) for face in range(5)], dim=1)
    torch.testing.assert_close(layer(x), alone, rtol=1e-5, atol=1e-5)


def test_a_layer_can_be_moved_and_stored() -> None:
    layer = ChebyshevConvolution(laplacian(), 3, 4, 6, some(9, 35))
    x = normal(35, 2, 3)
    wanted = layer(x.float())
    torch.testing.assert_close(layer.double()(x), wanted.double(), rtol=1e-4, atol=1e-5)
    assert torch.equal(layer.float()(x.float()), wanted)
    assert torch.equal(layer.to("cpu")(x.float()), wanted)
    # What the mesh decides is not stored with the weights.
    assert set(layer.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 16), (16, 16), (16, 3)])
def test_it_is_the_chebyshev_convolution_of_torch_geometric(inputs: int, outputs: int) -> None:
    reason = "torch-geometric is not installed: pip install 'facegen[benchmark]'"
    theirs = pytest.importorskip("torch_geometric.nn", reason=reason).ChebConv(inputs, outputs, 6)
    vertices, triangles = ball()
    layer = ChebyshevConvolution(
        SparseMatrix(scaled_laplacian(triangles, len(vertices)), symmetric=True), inputs, outputs, 6
    )
    with torch.no_grad():
        layer.weight.copy_(torch.stack([linear.weight.T for linear in theirs.lins]))
        layer.bias.copy_(torch.linspace(-1, 1, outputs))
        theirs.bias.copy_(layer.bias)
    pairs = triangles[:, [0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2]].reshape(-1, 2)
    edges = torch.from_numpy(np.unique(pairs, axis=0).T.copy())
    x = normal(len(vertices), 2, inputs).float().requires_grad_()
    y = x.detach().transpose(0, 1).contiguous().requires_grad_()
    found, wanted = layer(x), theirs(y, edges)
    torch.testing.assert_close(found.transpose(0, 1), wanted, rtol=2e-6, atol=4e-6)
    gradient = normal(*found.shape, seed=5).float()
    found.backward(gradient)
    wanted.backward(gradient.transpose(0, 1))
    assert x.grad is not None
    assert y.grad is not None
    assert layer.weight.grad is not None
    torch.testing.assert_close(x.grad.transpose(0, 1), y.grad, rtol=2e-6, atol=4e-6)
    for own, linear in zip(layer.weight.grad, theirs.lins, strict=True):
        torch.testing.assert_close(own.T, linear.weight.grad, rtol=1e-4, atol=1e-3)
