"""Functions for numba.cuda kernels, made from the scalar functions that the CPU's loops are compiled from.

A GPU's compiler fuses a product and a sum into one instruction that rounds once, and numba has no switch against it:
so every product of two floats becomes the intrinsic that is never fused, and labels keep the bits that they have on a
CPU. Under numba's CUDA simulator kernels are Python, and call the CPU's functions as they are.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from importlib import import_module
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import overload

from facegen.imaging.simulator import simulated

cuda: Any = import_module("numba.cuda")
"""numba.cuda, which has no types."""

THREADS = 128
"""Threads of a block."""


def product(a: Any, b: Any) -> Any:
    """``a * b``, rounded by itself in device code."""
    return a * b


def exact(function: Callable[..., Any], **called: Callable[..., Any]) -> Any:
    """A device function with the CPU's bits.

    Args:
        function: takes and returns scalars and tuples; plain, or compiled by ``numba.njit``.
        called: the device functions to use for compiled functions that it calls, by their name there.
    """
    if simulated():
        return function if hasattr(function, "py_func") else numba.njit(cache=True, error_model="numpy")(function)
    return cuda.jit(device=True)(with_products(getattr(function, "py_func", function), **called))


def approximate(function: Callable[..., Any], **called: Callable[..., Any]) -> Any:
    """As :func:`exact`, but with products and sums fused: faster, with other last bits."""
    return function if simulated() else with_arrays(function, **called)


def device(function: Callable[..., Any]) -> Any:
    """A device function, to be called from kernels of the same module.

    The simulator puts its own ``cuda`` into a kernel's module while it runs. Doing so at every call of a device
    function, as it does for those of ``cuda.jit``, takes most of its time.
    """
    return function if simulated() else cuda.jit(device=True)(function)


def with_arrays(function: Callable[..., Any], **called: Callable[..., Any]) -> Any:
    """As :func:`approximate`, for functions that take arrays: the simulator runs them as Python."""
    plain: Any = getattr(function, "py_func", function)
    return device(FunctionType(plain.__code__, {**plain.__globals__, **called}, plain.__name__))


def with_products(function: Callable[..., Any], **called: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with a call of :func:`product` for every ``*``, and ``called`` under their names."""
    tree = ast.increment_lineno(
        ast.parse(textwrap.dedent(inspect.getsource(function))), function.__code__.co_firstlineno - 1
    )
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list.clear()
    compiled = compile(ast.fix_missing_locations(_Products().visit(tree)), inspect.getfile(function), "exec")
    names = {**function.__globals__, **called, "_product": product}
    exec(compiled, names)
    made: Callable[..., Any] = names[function.__name__]
    return made


class _Products(ast.NodeTransformer):
    """Turns ``a * b`` into ``_product(a, b)``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Mult):
            return node
        return ast.copy_location(ast.Call(ast.Name("_product", ast.Load()), [node.left, node.right], []), node)


@overload(product, target="cuda", strict=False)
def _device_product(a: Any, b: Any) -> Any:
    libdevice = cuda.libdevice
    if isinstance(a, types.Float) or isinstance(b, types.Float):
        if a == types.float32 and b == types.float32:
            return lambda a, b: libdevice.fmul_rn(a, b)
        return lambda a, b: libdevice.dmul_rn(np.float64(a), np.float64(b))
    return lambda a, b: a * b


def launch(kernel: Any, count: int, *arguments: Any, stream: Any = 0) -> None:
    """Run a kernel whose threads share ``count`` items among them, on a stream of numba.cuda or the default one (0)."""
    if count == 0:
        return
    blocks = min(-(-count // THREADS), 1 << 20)
    # In the simulator every thread is one of Python's; two are enough to meet.
    blocks, threads = (1, 2) if simulated() else (blocks, THREADS)
    kernel[blocks, threads, stream](*arguments)


if simulated():

    @numba.njit(cache=True)
    def float_bits(value: Any) -> Any:
        """The bits of a float32 as an integer."""
        return np.float32(value).view(np.int32)

    @numba.njit(cache=True)
    def bits_float(value: Any) -> Any:
        """The inverse of :func:`float_bits`."""
        return np.int32(value).view(np.float32)

else:

    @cuda.jit(device=True)
    def float_bits(value: Any) -> Any:
        """The bits of a float32 as an integer."""
        return cuda.libdevice.float_as_int(np.float32(value))

    @cuda.jit(device=True)
    def bits_float(value: Any) -> Any:
        """The inverse of :func:`float_bits`."""
        return cuda.libdevice.int_as_float(np.int32(value))
