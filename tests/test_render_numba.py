"""The default back-end keeps the contract."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facegen.morphable.model import MorphableModel
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.tests.renderer_contract import RendererContract
from facegen.tests.scenes import sphere_model, view_of


class TestNumbaRenderer(RendererContract):
    """The default back-end."""

    def create(self, model: MorphableModel, height: int, width: int) -> NumbaRenderer:
        return NumbaRenderer(model, height, width)

    def test_constant_light_shows_the_albedo(self) -> None:
        model = sphere_model()
        view = view_of(model, 40, 40)
        light = np.zeros((9, 3), np.float32)
        light[0] = 2.0 * np.sqrt(np.pi)
        albedo = np.full_like(model.mean, 1.0) * np.array([0.5, 0.2, 0.05], np.float32)
        frame = self.create(model, 40, 40).render(
            replace(view, light_sh=light, light_colour=np.zeros((1, 3), np.float32), albedo=albedo)
        )
        # sRGB (IEC 61966-2-1) of the albedo; the sphere hides hardly any sky from itself.
        expected = 255 * (1.055 * np.array([0.5, 0.2, 0.05]) ** (1 / 2.4) - 0.055)
        inner = np.hypot(*np.mgrid[-19.5:20, -19.5:20]) < 14
        assert np.abs(frame.image[inner] - expected).max() <= 4
