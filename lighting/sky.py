"""Sun and sky: luminance and colour by direction. Angles in radians, luminance in kcd/m², illuminance in klx."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from facegen.lighting.colour import (
    WAVELENGTHS,
    black_body,
    chromaticity_to_rgb,
    daylight_colour,
    luminance,
    spectrum_to_xyz,
    xyz_to_rgb,
)

Float64 = NDArray[np.float64]

CLEAREST, HAZIEST = 2.0, 8.0
"""Turbidities that the clear sky's model holds for."""

LOWEST_SUN = np.radians(1.0)
"""Elevation below which neither model holds."""

_ABOVE_THE_AIR = 133.8
"""Illuminance by the sun outside the atmosphere, klx (Darula, Kittler & Gueymard 2005)."""

# Preetham, Shirley & Smits 1999, "A practical analytic model for daylight", appendix A.2: coefficients A … E of Perez'
# distribution, times turbidity and constant, for Y, x and y.
_PEREZ = np.array(
    [
        [[0.1787, -1.4630], [-0.3554, 0.4275], [-0.0227, 5.3251], [0.1206, -2.5771], [-0.0670, 0.3703]],
        [[-0.0193, -0.2592], [-0.0665, 0.0008], [-0.0004, 0.2125], [-0.0641, -0.8989], [-0.0033, 0.0452]],
        [[-0.0167, -0.2608], [-0.0950, 0.0092], [-0.0079, 0.2102], [-0.0441, -1.6537], [-0.0109, 0.0529]],
    ]
)
# Likewise the zenith's x and y: by powers 2 … 0 of the turbidity, and 3 … 0 of the sun's angle from the zenith.
_ZENITH = np.array(
    [
        [
            [0.00166, -0.00375, 0.00209, 0],
            [-0.02903, 0.06377, -0.03202, 0.00394],
            [0.11693, -0.21196, 0.06052, 0.25886],
        ],
        [
            [0.00275, -0.00610, 0.00317, 0],
            [-0.04214, 0.08970, -0.04153, 0.00516],
            [0.15346, -0.26756, 0.06670, 0.26688],
        ],
    ]
)


def sun_light(elevation: float, turbidity: float) -> Float64:
    """Linear RGB (3,), of luminance in klx: illuminance of a surface that faces the sun.

    The spectrum of a black body of 5778 K, thinned by molecules and aerosols on its way through the air (appendix A.1
    of Preetham et al. 1999, after Iqbal 1983), without the narrow bands of ozone and water.
    """
    elevation, turbidity = max(elevation, LOWEST_SUN), float(np.clip(turbidity, CLEAREST, HAZIEST))
    mass = 1 / (np.sin(elevation) + 0.15 * (3.885 + np.degrees(elevation)) ** -1.253)
    micron = WAVELENGTHS / 1000
    depth = 0.008735 * micron**-4.08 + (0.04608 * turbidity - 0.04586) * micron**-1.3
    outside = black_body(5778)
    seen = spectrum_to_xyz(outside * np.exp(-mass * depth)) / spectrum_to_xyz(outside)[1]
    return _ABOVE_THE_AIR * _with_luminance(xyz_to_rgb(seen), seen[1])


def _with_luminance(rgb: Float64, level: float) -> Float64:
    """The colour at a luminance: what was outside the gamut has lost some."""
    return np.asarray(rgb * (level / luminance(rgb)))


def clear_sky(up: Float64, from_sun: Float64, elevation: float, turbidity: float) -> Float64:
    """Linear RGB (n, 3), in any unit, of a cloudless sky (Preetham, Shirley & Smits 1999).

    The model is right in colour and distribution; its level is far too high for low suns and for haze, so that it is
    brought to :func:`clear_illuminance` by who uses it.

    Args:
        up: (n,) sine of the elevation above the horizon, 0 … 1.
        from_sun: (n,) cosine of the angle to the sun.
        elevation: of the sun.
        turbidity: 2 for very clear air … 8 for haze.
    """
    elevation, turbidity = max(elevation, LOWEST_SUN), float(np.clip(turbidity, CLEAREST, HAZIEST))
    theta = np.pi / 2 - elevation
    chi = (4 / 9 - turbidity / 120) * (np.pi - 2 * theta)
    zenith = [(4.0453 * turbidity - 4.9710) * np.tan(chi) - 0.2155 * turbidity + 2.4192]
    zenith += list(_ZENITH @ theta ** np.arange(3, -1, -1) @ turbidity ** np.arange(2, -1, -1))
    angle = np.arccos(from_sun.clip(-1, 1))
    # At the horizon itself the exponent would be infinite.
    slant = 1 / np.maximum(up, 1e-3)

    def perez(k: Float64, slant: Float64, angle: Float64, cosine: Float64) -> Float64:
        gradation = 1 + k[0] * np.exp(k[1] * slant)
        return np.asarray(gradation * (1 + k[2] * np.exp(k[3] * angle) + k[4] * cosine**2))

    values = []
    for of_zenith, slopes in zip(zenith, _PEREZ, strict=True):
        k = slopes @ [turbidity, 1]
        at_zenith = perez(k, np.array(1.0), np.array(theta), np.cos(theta))
        values.append(of_zenith * perez(k, slant, angle, from_sun) / at_zenith)
    return chromaticity_to_rgb(values[1], values[2], np.maximum(values[0], 0))


def clear_illuminance(elevation: float) -> float:
    """klx on the ground from a cloudless sky, its sun left out (Gillette, Pierpoint & Treado 1984; the IES has it)."""
    return 0.8 + 15.5 * math.sqrt(math.sin(max(elevation, LOWEST_SUN)))


def overcast_sky(up: Float64, elevation: float, temperature: float) -> Float64:
    """Linear RGB (n, 3), of luminance in kcd/m², of a sky covered by cloud.

    The CIE standard overcast sky (Moon & Spencer 1942): three times as bright at the zenith as at the horizon. Its
    illuminance on the ground is 0.3 + 21 sin(elevation) klx (Gillette, Pierpoint & Treado 1984).

    Args:
        up: (n,) sine of the elevation above the horizon, 0 … 1.
        elevation: of the sun.
        temperature: of the cloud's light, K.
    """
    zenith = 9 / (7 * np.pi) * (0.3 + 21 * np.sin(max(elevation, LOWEST_SUN)))
    return np.asarray((zenith * (1 + 2 * up) / 3)[:, None] * daylight_colour(temperature))
