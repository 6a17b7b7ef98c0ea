"""facegen: synthetic 3D face datasets with all of their truth.

The packages, in the order in which a face meets them: :mod:`facegen.morphable` (what a face model is),
:mod:`facegen.stages` (sample, denoise, compose, render, pack), :mod:`facegen.imaging` (cameras, visibility, channels),
:mod:`facegen.pipeline` (how a run is carried out) and :mod:`facegen.dataset` (reading what came out).
"""

__version__ = "0.1.0"
