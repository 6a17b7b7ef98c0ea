"""Copies to and from a GPU that run beside its kernels: streams, each with page-locked memory of its own.

A copy from or to page-locked memory is only begun by the host, and the GPU makes it while it runs kernels of another
stream. To allocate memory on the GPU may halt all streams: arrays are kept by name for the batches to come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.imaging.device_functions import cuda

Array = Any
"""An array on the GPU."""

Shape = tuple[int, ...]


class StagedStream:
    """A stream that takes one batch after another, and the memory that it passes through.

    What :meth:`send` and :meth:`fetch` return is complete after :meth:`wait`, and holds until the next batch is sent.
    """

    def __init__(self) -> None:
        self.stream = cuda.stream()
        self._on_host: dict[str, NDArray[Any]] = {}
        self._on_device: dict[str, Array] = {}

    def room(self, name: str, shape: Shape, dtype: Any) -> Array:
        """An array on the GPU, C order, holding anything."""
        return _kept(self._on_device, name, shape, dtype, cuda.device_array)

    def send(self, name: str, rows: Sequence[NDArray[Any]]) -> Array:
        """Begin to copy n arrays of one shape and type into one (n, …) on the GPU, which is returned."""
        shape, dtype = (len(rows), *rows[0].shape), rows[0].dtype
        staged = _kept(self._on_host, name, shape, dtype, cuda.pinned_array)
        np.stack(rows, out=staged)
        sent = self.room(name, shape, dtype)
        sent.copy_to_device(staged, stream=self.stream)
        return sent

    def fetch(self, name: str, array: Array) -> NDArray[Any]:
        """Begin to copy an array from the GPU into page-locked memory, which is returned."""
        staged: NDArray[Any] = _kept(self._on_host, name, tuple(array.shape), array.dtype, cuda.pinned_array)
        array.copy_to_host(staged, stream=self.stream)
        return staged

    def wait(self) -> None:
        """Wait for all that was begun."""
        self.stream.synchronize()


def _kept(kept: dict[str, Any], name: str, shape: Shape, dtype: Any, make: Callable[[Shape, Any], Any]) -> Any:
    """The first rows of the array kept under a name, which is made anew where it does not suffice."""
    array = kept.get(name)
    if array is None or array.dtype != dtype or array.shape[0] < shape[0] or tuple(array.shape[1:]) != shape[1:]:
        array = kept[name] = make(shape, dtype)
    return array[: shape[0]]
