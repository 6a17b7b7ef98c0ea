"""Rows of an array in vector registers, for compiled code that takes rows in no order.

A pixel takes two to eight numbers from each corner of its triangle. numba's compiler uses vector registers for loops
over many pixels, but not for so few numbers side by side; these functions say it. Arrays are flat and float32, rows are
given by number (uint64), and arithmetic is that of the formulas, operation by operation; products are fused with sums
where the calling function allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(32)


def _vector(width: int) -> ir.VectorType:
    return ir.VectorType(_FLOAT, width)


def _shuffled(builder: ir.IRBuilder, value: ir.Value, lanes: Sequence[int]) -> ir.Value:
    mask = ir.Constant(ir.VectorType(_INDEX, len(lanes)), list(lanes))
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)


def _everywhere(builder: ir.IRBuilder, value: ir.Value, width: int) -> ir.Value:
    """A number in all lanes."""
    one = builder.insert_element(ir.Constant(_vector(width), ir.Undefined), value, ir.Constant(_INDEX, 0))
    return _shuffled(builder, one, [0] * width)


def _pointer(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, index: ir.Value) -> ir.Value:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _place(context: Any, builder: ir.IRBuilder, kind: Any, array: ir.Value, row: ir.Value, width: int) -> ir.Value:
    """Pointer to the first number of a row of ``width``."""
    return _pointer(context, builder, kind, array, builder.mul(row, ir.Constant(row.type, width)))


def _load(builder: ir.IRBuilder, place: ir.Value, width: int) -> ir.Value:
    return builder.load(builder.bitcast(place, _vector(width).as_pointer()), align=4)


def _is_flat(kind: Any) -> bool:
    return isinstance(kind, types.Array) and (kind.ndim, kind.layout, kind.dtype) == (1, "C", types.float32)


def _as_tuple(context: Any, builder: ir.IRBuilder, kind: Any, value: ir.Value) -> ir.Value:
    lanes = [builder.extract_element(value, ir.Constant(_INDEX, n)) for n in range(len(kind))]
    return context.make_tuple(builder, kind, lanes)


def _mixed(width: int) -> Any:
    @intrinsic
    def mixed(_: Any, array: Any, i: Any, j: Any, k: Any, w1: Any, w2: Any) -> Any:
        if not _is_flat(array) or {i, j, k} != {types.uint64} or {w1, w2} != {types.float32}:
            return None
        tuple_of: Any = types.UniTuple
        signature = tuple_of(types.float32, width)(array, i, j, k, w1, w2)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            array, i, j, k, w1, w2 = arguments
            a, b, c = (
                _load(builder, _place(context, builder, signature.args[0], array, row, width), width)
                for row in (i, j, k)
            )
            to_b = builder.fmul(_everywhere(builder, w1, width), builder.fsub(b, a))
            to_c = builder.fmul(_everywhere(builder, w2, width), builder.fsub(c, a))
            value = builder.fadd(builder.fadd(a, to_b), to_c)
            return _as_tuple(context, builder, signature.return_type, value)

        return signature, generate

    return mixed


mixed2 = _mixed(2)
"""``mixed2(array, i, j, k, w1, w2)``: the two numbers ``a + w1 (b - a) + w2 (c - a)`` of rows i, j, k of two."""
mixed4 = _mixed(4)
"""As :data:`mixed2` for rows of four numbers."""


@intrinsic
def _weighted8(_: Any, array: Any, i: Any, j: Any, k: Any, w0: Any, w1: Any, w2: Any) -> Any:
    if not _is_flat(array) or {i, j, k} != {types.uint64} or {w0, w1, w2} != {types.float32}:
        return None
    tuple_of: Any = types.UniTuple

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        array, *places = arguments[:4]
        a, b, c = (
            builder.fmul(
                _everywhere(builder, weight, 8),
                _load(builder, _pointer(context, builder, signature.args[0], array, place), 8),
            )
            for weight, place in zip(arguments[4:], places, strict=True)
        )
        value = builder.fadd(builder.fadd(a, b), c)
        return _as_tuple(context, builder, signature.return_type, value)

    return tuple_of(types.float32, 8)(array, i, j, k, w0, w1, w2), generate


weighted8: Any = _weighted8
"""``weighted8(array, i, j, k, w0, w1, w2)``: ``w0 a + w1 b + w2 c`` of eight numbers each from places i, j, k on."""


@intrinsic
def _add_normal(_: Any, points: Any, sums: Any, i: Any, j: Any, k: Any) -> Any:
    if not _is_flat(points) or not _is_flat(sums) or {i, j, k} != {types.uint64}:
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        points, sums, *rows = arguments
        corners = []
        for row in rows:
            place = _place(context, builder, signature.args[0], points, row, 3)
            # Four at once would read beyond the last row.
            xy = _shuffled(builder, _load(builder, place, 2), [0, 1, 0, 1])
            z = builder.load(builder.gep(place, [ir.Constant(ir.IntType(64), 2)]), align=4)
            corners.append(builder.insert_element(xy, z, ir.Constant(_INDEX, 2)))
        u, v = (builder.fsub(corner, corners[0]) for corner in corners[1:])
        yzx, zxy = (1, 2, 0, 3), (2, 0, 1, 3)
        normal = builder.fsub(
            builder.fmul(_shuffled(builder, u, yzx), _shuffled(builder, v, zxy)),
            builder.fmul(_shuffled(builder, u, zxy), _shuffled(builder, v, yzx)),
        )
        for row in rows:
            place = _place(context, builder, signature.args[1], sums, row, 4)
            place = builder.bitcast(place, normal.type.as_pointer())
            builder.store(builder.fadd(builder.load(place, align=4), normal), place, align=4)
        return context.get_dummy_value()

    return types.none(points, sums, i, j, k), generate


add_normal: Any = _add_normal
"""``add_normal(points, sums, i, j, k)`` adds a triangle's normal to its corners' sums.

The normal is ``(b - a) × (c - a)`` of rows i, j, k of ``points``, three numbers each. Rows of ``sums`` have four, the
fourth of no meaning."""
