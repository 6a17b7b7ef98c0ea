"""Chebyshev convolutions on meshes, and the sampling between their levels, fast.

Features are (N, B, F): vertex, face of the batch, channel. A sparse matrix then works on all faces at once as one
product with (N, B·F). Defferrard et al. 2016, "Convolutional neural networks on graphs with fast localized spectral
filtering"; the layers are those of CoMA (Ranjan et al. 2018).
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn

Ints = NDArray[np.int64]


class SparseMatrix(nn.Module):
    """A constant sparse matrix (n, m) that multiplies features; its transpose is kept for the way back."""

    def __init__(self, matrix: sparse.sparray, *, symmetric: bool = False) -> None:
        """Store a matrix of finite numbers; ``symmetric`` saves its transpose."""
        super().__init__()
        self.forth = _csr(matrix)
        self.back = self.forth if symmetric else _csr(matrix.T)

    def _apply(self, fn: Any, recurse: bool = True) -> SparseMatrix:
        # Neither parameters nor buffers: a sparse CSR buffer cannot be copied or saved by all that copies modules.
        symmetric = self.back is self.forth
        self.forth = fn(self.forth)
        self.back = self.forth if symmetric else fn(self.back)
        return cast(SparseMatrix, super()._apply(fn, recurse))

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
    degree = np.asarray(adjacency.sum(axis=1)).reshape(-1)
    root = sparse.diags_array(1 / np.sqrt(np.maximum(degree, 1)))
    return sparse.csr_array(-(root @ adjacency @ root))


def interpolation(corners: Ints, weights: NDArray[np.float32], vertices: int) -> sparse.csr_array:
    """The matrix (n, m) that takes values at ``vertices`` = m places to points between three of them each, (n, 3)."""
    n = len(corners)
    rows = np.repeat(np.arange(n), 3)
    matrix = sparse.coo_array((weights.reshape(-1).astype(np.float64), (rows, corners.reshape(-1))), shape=(n, vertices))
    matrix = matrix.tocsr()
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
        y = function.apply(self.laplacian.forth, self.kept, x, self.weight)  # type: ignore[no-untyped-call]
        return cast(torch.Tensor, y + self.bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forth: torch.Tensor, back: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.back = back
        return _times(forth, x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, None, torch.Tensor]:  # type: ignore[override]
        return None, None, _times(ctx.back, gradient.contiguous())


class _Direct(torch.autograd.Function):
    """``[T_0 x, …, T_(K-1) x]`` at the kept vertices, times the filters in one product."""

    @staticmethod
    def forward(
        ctx: Any, laplacian: torch.Tensor, kept: torch.Tensor | None, x: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        basis = _polynomials(laplacian, x, len(weight), kept)
        ctx.laplacian, ctx.vertices = laplacian, len(x)
        ctx.save_for_backward(basis, weight, kept)
        return basis.flatten(2) @ weight.flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, None, torch.Tensor | None, torch.Tensor]:  # type: ignore[override]
        basis, weight, kept = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        for_weight = (basis.flatten(0, 1).flatten(1).T @ flat).view_as(weight)
        if not ctx.needs_input_grad[2]:
            return None, None, None, for_weight
        terms = (gradient @ weight.flatten(0, 1).T).unflatten(-1, weight.shape[:2])
        return None, None, _sum_of_polynomials(ctx.laplacian, terms, kept, ctx.vertices), for_weight


class _Clenshaw(torch.autograd.Function):
    """The products ``x θ_k`` in one, then the sum of ``T_k`` of them."""

    @staticmethod
    def forward(
        ctx: Any, laplacian: torch.Tensor, kept: torch.Tensor | None, x: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        ctx.laplacian = laplacian
        ctx.save_for_backward(x, weight, kept)
        terms = (x @ weight.transpose(0, 1).flatten(1)).unflatten(-1, (len(weight), -1))
        y = _sum_of_polynomials(laplacian, terms, None, len(x))
        return y if kept is None else y[kept]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, None, torch.Tensor | None, torch.Tensor]:  # type: ignore[override]
        x, weight, kept = ctx.saved_tensors
        if kept is not None:
            gradient = gradient.new_zeros(len(x), *gradient.shape[1:]).index_copy(0, kept, gradient)
        basis = _polynomials(ctx.laplacian, gradient.contiguous(), len(weight), None).flatten(2)
        for_weight = x.flatten(0, 1).T @ basis.flatten(0, 1)
        for_weight = for_weight.unflatten(1, (len(weight), -1)).transpose(0, 1)
        if not ctx.needs_input_grad[2]:
            return None, None, None, for_weight
        return None, None, basis @ weight.transpose(1, 2).flatten(0, 1), for_weight


def _polynomials(laplacian: torch.Tensor, x: torch.Tensor, order: int, kept: torch.Tensor | None) -> torch.Tensor:
    """``T_k(L̃) x`` at the kept vertices, (m, B, K, F), of x (n, B, F)."""
    count = len(x) if kept is None else len(kept)
    basis = x.new_empty(count, x.shape[1], order, x.shape[2])
    before, now = x, x
    for k in range(order):
        if k == 1:
            now = _times(laplacian, x)
        elif k > 1:
            before, now = now, _times_twice_less(laplacian, now, before)
        basis[:, :, k] = now if kept is None else now[kept]
    return basis


def _sum_of_polynomials(
    laplacian: torch.Tensor, terms: torch.Tensor, kept: torch.Tensor | None, vertices: int
) -> torch.Tensor:
    """``Σ_k T_k(L̃) c_k`` (n, B, F) of terms c (m, B, K, F), which lie at the kept vertices: Clenshaw's recursion."""
    order = terms.shape[2]

    def plus(b: torch.Tensor | None, k: int) -> torch.Tensor:
        if b is None:
            if kept is None:
                return terms[:, :, k].contiguous()
            b = terms.new_zeros(vertices, terms.shape[1], terms.shape[3])
        return b.add_(terms[:, :, k]) if kept is None else b.index_add_(0, kept, terms[:, :, k])

    after: torch.Tensor | None = None
    now = plus(None, order - 1)
    for k in range(order - 2, -1, -1):
        scale = 1.0 if k == 0 else 2.0
        step = _times(laplacian, now, scale) if after is None else _times_twice_less(laplacian, now, after, scale)
        after, now = now, plus(step, k)
    return now


def _times(matrix: torch.Tensor, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    product = (matrix @ x.flatten(1)).unflatten(1, x.shape[1:])
    return product if scale == 1.0 else product.mul_(scale)


def _times_twice_less(matrix: torch.Tensor, x: torch.Tensor, less: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
    """``scale · matrix @ x - less``."""
    flat = torch.addmm(less.flatten(1), matrix, x.flatten(1), beta=-1, alpha=scale)
    return flat.unflatten(1, x.shape[1:])


def _csr(matrix: sparse.sparray) -> torch.Tensor:
    rows = sparse.csr_array(matrix)
    rows.sort_indices()
    with warnings.catch_warnings():
        # Said once a process of every CSR tensor: that the layout is in beta.
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        return torch.sparse_csr_tensor(
            torch.from_numpy(rows.indptr.astype(np.int64)),
            torch.from_numpy(rows.indices.astype(np.int64)),
            torch.from_numpy(rows.data.astype(np.float32)),
            rows.shape,
        )
