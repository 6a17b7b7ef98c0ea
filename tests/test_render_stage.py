"""How the render stage goes through a batch: block by block, past the faces that cannot be rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from facegen.batch import Samples
from facegen.settings import validate
from facegen.stages.render.config import RenderConfig
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.renderer import Frame, View
from facegen.stages.render.stage import RenderStage
from facegen.tests.synthetic import batch, sphere, textured_model


def at(samples: Samples, row: int) -> Samples:
    return Samples.from_dict({name: values[[row]] for name, values in samples.as_dict().items()})


def test_faces_of_a_block_are_rendered_together_and_failures_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = np.arange(14, 20)
    samples, _ = batch(sphere(), faces)
    samples = replace(samples, **{name: getattr(samples, name).copy() for name in ("light_sh", "extrinsics")})
    samples.light_sh[faces == 15] = np.nan
    samples.extrinsics[faces == 17, 0, 3] = 1e5
    samples.light_sh[faces == 19] = 1e8
    sizes: list[int] = []

    def counted(renderer: NumbaRenderer, views: Sequence[View]) -> list[Frame]:
        sizes.append(len(views))
        return super(NumbaRenderer, renderer).render_views(views)

    monkeypatch.setattr(NumbaRenderer, "render_views", counted)
    stage = RenderStage(validate(RenderConfig, {"size": 24}, source="test"), textured_model())
    renders = stage.render(samples)
    # Faces are decoded in blocks of 16, by their numbers.
    assert sizes == [1, 3]
    assert renders.reason.tolist() == [
        "", "light_sh is not finite", "", "no part of the face is in the image", "",
        "the light is 1e+08, more than 1e+06",
    ]  # fmt: skip
    np.testing.assert_array_equal(renders.valid, renders.reason == "")
    assert len(np.unique(renders.image[renders.valid], axis=0)) == 3
    for row in range(len(faces)):
        for name, values in stage.render(at(samples, row)).as_dict().items():
            np.testing.assert_array_equal(values[0], renders.as_dict()[name][row], err_msg=f"{name} {row}")
