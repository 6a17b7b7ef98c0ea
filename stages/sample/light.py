"""From drawn parameters of studio light to spherical harmonics and a directional light."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from facegen.lighting.light import Light

Float64 = NDArray[np.float64]

MOST_RADIUS = 60.0
"""Degrees: what a wider light would do is what the spherical harmonics are for."""

_Y0 = 0.28209479177387814
_Y1 = 0.4886025119029199
_Y2_NORM = np.array([1.0925484, 1.0925484, 0.31539157, 1.0925484, 0.54627422])


def warm_tint(warmth: float) -> Float64:
    """Linear RGB (3,) multiplier of mean 1: +1 is like late sun (~3500 K beside 6500 K), -1 like an overcast sky."""
    tint = np.array([1.0 + 0.22 * warmth, 1.0, 1.0 - 0.26 * warmth]).clip(0.2, 2.0)
    return np.asarray(tint * (3.0 / tint.sum()))


def directional_light(azimuth: float, elevation: float, intensity: float, warmth: float) -> tuple[Float64, Float64]:
    """Unit vector towards the light (camera frame) and its linear RGB colour; angles in radians."""
    direction = np.array(
        [np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)]
    )
    return direction, intensity * warm_tint(warmth)


def spherical_harmonics(
    ambient: float, gradient: float, second_order: float, warmth: float, numbers: Float64
) -> Float64:
    """Light coefficients (9, 3) as :class:`facegen.batch.Samples` defines them.

    Args:
        ambient: mean level.
        gradient: first order relative to the level.
        second_order: standard deviation of the second order relative to the level.
        warmth: tint of the whole.
        numbers: (9,) standard normal numbers: a direction (3), the second order (5), the tint of the gradient (1).
    """
    # Most light comes from above and from where the viewer stands (camera frame: y down, z away).
    direction = numbers[:3] * np.array([1.0, 0.6, 0.6]) + np.array([0.0, -1.2, -0.6])
    direction /= np.linalg.norm(direction) + 1e-12
    sh = np.zeros((9, 3))
    sh[0] = ambient / _Y0
    # Order y, z, x. The gradient has a tint of its own: a blue sky over brown ground.
    sh[1:4] = np.outer(direction[[1, 2, 0]], ambient * gradient / _Y1 * warm_tint(-0.4 + 0.3 * numbers[8]))
    sh[4:9] = (ambient * second_order * numbers[3:8] / _Y2_NORM * 0.5)[:, None]
    return np.asarray(sh * warm_tint(warmth))


def studio_light(drawn: Mapping[str, float], numbers: Float64) -> Light:
    """Studio light, camera frame.

    Args:
        drawn: the parameters of :class:`~facegen.stages.sample.light_config.StudioLight`.
        numbers: as for :func:`spherical_harmonics`.
    """
    sh = spherical_harmonics(drawn["ambient"], drawn["gradient"], drawn["second_order"], -drawn["warmth"] / 3, numbers)
    direction, colour = directional_light(
        np.radians(drawn["azimuth"]), np.radians(drawn["elevation"]), drawn["intensity"], drawn["warmth"]
    )
    radius = np.radians(np.clip(drawn["radius"], 0, MOST_RADIUS))
    return Light(sh, np.append(direction, 0.0)[None], colour[None], np.array([radius]))
