"""Denoise: drawn coefficients into those of possible faces."""
