"""Chebyshev convolutions on meshes, and the sampling between their levels, fast.

Features are (N, B, F): vertex, face of the batch, channel. A sparse matrix then works on all faces at once as one
product with (N, B·F). Defferrard et al. 2016, "Convolutional neural networks on graphs with fast localized spectral
filtering"; the layers are those of CoMA (Ranjan et al. 2018).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn

Ints = NDArray[np.int64]

_FEW = 8
"""Columns of a dense product below which it takes as long as one with all polynomials' columns."""


class SparseMatrix(nn.Module):
    """A constant sparse matrix (n, m) that multiplies features; its transpose is kept for the way back."""

    def __init__(self, matrix: sparse.csr_array, *, symmetric: bool = False) -> None:
        """Store a matrix of finite numbers; ``symmetric`` saves its transpose."""
        super().__init__()
        self.forth = _csr(matrix)
        self.back = self.forth if symmetric else _csr(sparse.csr_array(matrix.T))

    def _apply(self, fn: Any, recurse: bool = True) -> SparseMatrix:
        # Neither parameters nor buffers: a sparse CSR buffer cannot be copied or saved by all that copies modules.
        symmetric = self.back is self.forth
        self.forth = fn(self.forth)
        self.back = self.forth if symmetric else fn(self.back)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, B, F) of features (m, B, F)."""
        return cast(torch.Tensor, _Product.apply(self.forth, self.back, features))  # type: ignore[no-untyped-call]


def scaled_laplacian(triangles: Ints, vertices: int) -> sparse.csr_array:
    """``L̃ = 2 L / λ_max - I`` of the mesh's graph, (n, n).

    L is the symmetric normalised Laplacian of the binary adjacency; its spectrum lies within [0, 2], so λ_max is taken
    as 2, as CoMA's code does, and ``L̃ = -D^(-1/2) A D^(-1/2)``.
    """
    ends = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    one = np.ones(len(ends))
    half = sparse.coo_array((one, (ends[:, 0], ends[:, 1])), shape=(vertices, vertices)).tocsr()
    adjacency = ((half + half.T) > 0).astype(np.float64)
    degree: NDArray[np.float64] = np.asarray(adjacency.sum(axis=1)).reshape(-1)
    root = sparse.diags_array(1 / np.sqrt(np.maximum(degree, 1)))
    return sparse.csr_array(-(root @ adjacency @ root))


def interpolation(corners: Ints, weights: NDArray[np.float32], vertices: int) -> sparse.csr_array:
    """The matrix (n, m) that takes values at ``vertices`` = m places to points between three of them each, (n, 3)."""
    n = len(corners)
    rows = np.repeat(np.arange(n), 3)
    entries = (weights.reshape(-1).astype(np.float64), (rows, corners.reshape(-1)))
    matrix = sparse.coo_array(entries, shape=(n, vertices)).tocsr()
    matrix.eliminate_zeros()
    return sparse.csr_array(matrix)


class ChebyshevConvolution(nn.Module):
    """``y = Σ_k T_k(L̃) x θ_k + bias``, at all vertices or at some.

    The recursion runs in the narrower of the two feature spaces: over ``T_k x``, or, where there are fewer channels out
    than in, by Clenshaw's recursion over ``x θ_k``. The dense product is done for the vertices that are asked for.
    """

    def __init__(
        self, laplacian: SparseMatrix, channels_in: int, channels_out: int, order: int, kept: torch.Tensor | None = None
    ) -> None:
        """Make the filters, drawn as Glorot does for K · channels_in inputs; the bias is 0.

        Args:
            laplacian: L̃ (n, n), symmetric.
            channels_in, channels_out: features before and after.
            order: K, the number of polynomials.
            kept: (m,) vertices whose output is wanted; ``None`` for all.
        """
        super().__init__()
        self.laplacian = laplacian
        self.kept: torch.Tensor | None
        self.register_buffer("kept", kept, persistent=False)
        self.weight = nn.Parameter(torch.empty(order, channels_in, channels_out))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        reach = (6 / (order * channels_in + channels_out)) ** 0.5
        nn.init.uniform_(self.weight, -reach, reach)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(m, B, channels_out) of x (n, B, channels_in)."""
        function = _Clenshaw if self.weight.shape[2] < self.weight.shape[1] else _Direct
        y = function.apply(self.laplacian.forth, self.kept, x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return cast(torch.Tensor, y)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forth: torch.Tensor, back: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.back = back
        return _times(forth, x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, None, torch.Tensor]:
        return None, None, _times(ctx.back, gradient)


Gradients = tuple[None, None, torch.Tensor | None, torch.Tensor, torch.Tensor]


class _Direct(torch.autograd.Function):
    """The sum of ``T_k x`` at the kept vertices, each times its filter."""

    @staticmethod
    def forward(
        ctx: Any,
        laplacian: torch.Tensor,
        kept: torch.Tensor | None,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        ctx.laplacian, ctx.vertices = laplacian, len(x)
        terms = [_at(kept, term) for term in _polynomials(laplacian, x, len(weight))]
        ctx.save_for_backward(weight, kept, *terms)
        y = torch.addmm(bias, _rows(terms[0]), weight[0])
        for term, filters in zip(terms[1:], weight[1:], strict=True):
            y.addmm_(_rows(term), filters)
        return y.view(*terms[0].shape[:2], -1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Gradients:
        weight, kept, *terms = ctx.saved_tensors
        gradient = gradient.contiguous()
        for_weight = torch.stack([_rows(term).T @ _rows(gradient) for term in terms])
        for_x = None
        if ctx.needs_input_grad[2]:
            for_x = _sum_of_polynomials(ctx.laplacian, gradient, weight.transpose(1, 2), kept, ctx.vertices)
        return None, None, for_x, for_weight, _rows(gradient).sum(dim=0)


class _Clenshaw(torch.autograd.Function):
    """The sum of ``T_k`` of the products of x and filters."""

    @staticmethod
    def forward(
        ctx: Any,
        laplacian: torch.Tensor,
        kept: torch.Tensor | None,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        ctx.laplacian = laplacian
        ctx.save_for_backward(x, weight, kept)
        return _at(kept, _sum_of_polynomials(laplacian, x, weight, None, len(x))).add_(bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Gradients:
        x, weight, kept = ctx.saved_tensors
        for_bias = _rows(gradient).sum(dim=0)
        if kept is not None:
            gradient = gradient.new_zeros(len(x), *gradient.shape[1:]).index_copy_(0, kept, gradient)
        for_x = x.new_empty(x.shape) if ctx.needs_input_grad[2] else None
        for_weight = []
        terms = _polynomials(ctx.laplacian, gradient, len(weight))
        for number, (term, filters) in enumerate(zip(terms, weight, strict=True)):
            # The narrower matrix first: several times faster than the other way round.
            for_weight.append((_rows(term).T @ _rows(x)).T)
            if for_x is not None:
                for_x.view(-1, x.shape[2]).addmm_(_rows(term), filters.T, beta=min(number, 1))
        return None, None, for_x, torch.stack(for_weight), for_bias


def _polynomials(laplacian: torch.Tensor, x: torch.Tensor, order: int) -> Iterator[torch.Tensor]:
    """``T_k(L̃) x`` (n, B, F) of x (n, B, F), for each k < order."""
    before, now = x, x
    for k in range(order):
        if k == 1:
            now = _times(laplacian, x)
        elif k > 1:
            before, now = now, _times_less(laplacian, now, before)
        yield now


def _sum_of_polynomials(
    laplacian: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, kept: torch.Tensor | None, vertices: int
) -> torch.Tensor:
    """``Σ_k T_k(L̃) x θ_k`` (n, B, F) of x (m, B, C), which lies at the kept vertices, and θ (K, C, F).

    Clenshaw's recursion: ``b_k = x θ_k + 2 L̃ b_(k+1) - b_(k+2)``, with half the second term at k = 0.
    """
    order, _, channels = weight.shape
    rows = x.flatten(0, 1)
    terms = torch.split(rows @ weight.transpose(0, 1).flatten(1), channels, dim=1) if channels < _FEW else None

    def plus(b: torch.Tensor, k: int) -> torch.Tensor:
        if kept is None and terms is None:
            b.view(-1, channels).addmm_(rows, weight[k])
            return b
        term = rows @ weight[k] if terms is None else terms[k]
        term = term.view(*x.shape[:2], channels)
        return b.add_(term) if kept is None else b.index_add_(0, kept, term)

    after: torch.Tensor | None = None
    now = plus(x.new_zeros(vertices, x.shape[1], channels), order - 1)
    for k in range(order - 2, -1, -1):
        scale = 2 if k else 1
        if after is None:
            step = _times(laplacian, now, scale)
        else:
            step = after
            step.flatten(1).addmm_(laplacian, now.flatten(1), beta=-1, alpha=scale)
        after, now = now, plus(step, k)
    return now


def _times(matrix: torch.Tensor, x: torch.Tensor, scale: int = 1) -> torch.Tensor:
    """``scale · matrix @ x``, (n, B, F)."""
    product = x.new_empty(len(matrix), x.shape[1] * x.shape[2])
    # With beta = 0 what is in the memory does not count.
    return product.addmm_(matrix, x.flatten(1), beta=0, alpha=scale).view(-1, *x.shape[1:])


def _times_less(matrix: torch.Tensor, x: torch.Tensor, less: torch.Tensor) -> torch.Tensor:
    """``2 · matrix @ x - less``, (n, B, F)."""
    return torch.addmm(less.flatten(1), matrix, x.flatten(1), beta=-1, alpha=2).view(-1, *x.shape[1:])


def _at(kept: torch.Tensor | None, values: torch.Tensor) -> torch.Tensor:
    """Values (m, …) at the kept vertices of values (n, …)."""
    return values if kept is None else values.index_select(0, kept)


def _rows(values: torch.Tensor) -> torch.Tensor:
    """(n · B, F) of (n, B, F)."""
    return values.flatten(0, 1)


def _csr(matrix: sparse.csr_array) -> torch.Tensor:
    rows = matrix.sorted_indices()
    with warnings.catch_warnings():
        # Said once a process of every CSR tensor: that the layout is in beta.
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        return torch.sparse_csr_tensor(
            torch.from_numpy(rows.indptr.astype(np.int32)),
            torch.from_numpy(rows.indices.astype(np.int32)),
            torch.from_numpy(rows.data.astype(np.float32)),
            rows.shape,
        )
