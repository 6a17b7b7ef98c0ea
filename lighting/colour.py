"""Colours of light: spectra, temperatures and chromaticities as linear sRGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

WAVELENGTHS = np.arange(380.0, 781.0, 10.0)
"""(S,) nm, where spectra are sampled."""

# IEC 61966-2-1: XYZ to linear sRGB, whose white is D65.
_XYZ_TO_RGB = np.array(
    [[3.2406255, -1.5372080, -0.4986286], [-0.9689307, 1.8757561, 0.0415175], [0.0557101, -0.2040211, 1.0569959]]
)

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""BT.709."""

_SECOND_RADIATION = 1.438776877e7
"""Planck's law, nm K (CODATA 2018)."""


def luminance(rgb: Float64) -> Float64:
    """Relative luminance (…) of linear RGB (…, 3)."""
    return np.asarray(rgb @ _LUMINANCE)


def _lobe(peak: float, below: float, above: float) -> Float64:
    off = WAVELENGTHS - peak
    return np.asarray(np.exp(-0.5 * (off / np.where(off < 0, below, above)) ** 2))


# (S, 3) the CIE 1931 observer as sums of lobes: Wyman, Sloan & Shirley 2013, "Simple analytic approximations to the CIE
# XYZ color matching functions", JCGT 2(2).
_OBSERVER = np.stack(
    [
        1.056 * _lobe(599.8, 37.9, 31.0) + 0.362 * _lobe(442.0, 16.0, 26.7) - 0.065 * _lobe(501.1, 20.4, 26.2),
        0.821 * _lobe(568.8, 46.9, 40.5) + 0.286 * _lobe(530.9, 16.3, 31.1),
        1.217 * _lobe(437.0, 11.8, 36.0) + 0.681 * _lobe(459.0, 26.0, 13.8),
    ],
    axis=1,
)


def black_body(temperature: float) -> Float64:
    """Spectrum (S,) of a black body of so many K at :data:`WAVELENGTHS`, by Planck's law, in any unit."""
    return np.asarray((WAVELENGTHS / 560) ** -5 / np.expm1(_SECOND_RADIATION / (WAVELENGTHS * temperature)))


def spectrum_to_xyz(spectrum: Float64) -> Float64:
    """XYZ (3,) of a spectrum (S,) at :data:`WAVELENGTHS`, in the spectrum's unit."""
    return np.asarray(spectrum @ _OBSERVER)


def xyz_to_rgb(xyz: Float64) -> Float64:
    """Linear RGB (…, 3) of XYZ (…, 3); what lies outside the gamut is brought to its border by channel."""
    return np.asarray(np.maximum(xyz @ _XYZ_TO_RGB.T, 0))


def chromaticity_to_rgb(x: Float64, y: Float64, level: Float64) -> Float64:
    """Linear RGB (…, 3) of CIE x, y (…) and luminance Y (…); see :func:`xyz_to_rgb`."""
    return xyz_to_rgb(np.stack([x / y * level, level, (1 - x - y) / y * level], axis=-1))


def _of_luminance_1(rgb: Float64) -> Float64:
    return np.asarray(rgb / luminance(rgb))


def lamp_colour(temperature: float) -> Float64:
    """Linear RGB (3,) of luminance 1 of a black body of 1000 … 25000 K, which lamps are named by."""
    return _of_luminance_1(xyz_to_rgb(spectrum_to_xyz(black_body(float(np.clip(temperature, 1000, 25000))))))


def daylight_colour(temperature: float) -> Float64:
    """Linear RGB (3,) of luminance 1 of daylight of 4000 … 25000 K: the locus of CIE 15 (Judd et al. 1964)."""
    t = float(np.clip(temperature, 4000, 25000))
    powers = np.array([1e9 / t**3, 1e6 / t**2, 1e3 / t, 1])
    x = powers @ ([-4.6070, 2.9678, 0.09911, 0.244063] if t <= 7000 else [-2.0064, 1.9018, 0.24748, 0.237040])
    y = -3 * x * x + 2.870 * x - 0.275
    return _of_luminance_1(chromaticity_to_rgb(np.array(x), np.array(y), np.array(1.0)))
