"""Barycentric weights in kernels: the device functions of :mod:`facegen.imaging.visibility`, with its bits."""

from __future__ import annotations

from facegen.imaging import visibility
from facegen.imaging.device_functions import exact

_on_edge = exact(visibility._on_edge)
_weights_on_outline = exact(visibility.weights_on_outline, _on_edge=_on_edge)
_weights_on_plane = exact(visibility.weights_on_plane)
_inside = exact(visibility.inside)

weights_on_ray = exact(
    visibility.weights_on_ray,
    weights_on_plane=_weights_on_plane,
    inside=_inside,
    weights_on_outline=_weights_on_outline,
)
"""See :func:`facegen.imaging.visibility.weights_on_ray`."""

quantise = exact(visibility.quantise)
"""See :func:`facegen.imaging.visibility.quantise`."""
