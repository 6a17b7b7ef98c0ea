"""Gradients through the renderer: against finite differences, and by what is found with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC
from facegen.imaging.camera import extrinsic_matrices, head_rotation
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.rasterise import rasterise
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.config import DefaultModelConfig
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.morphable.relief import STEPS
from facegen.stages.render.differentiable import Cameras, DifferentiableRenderer, Lights, Skin
from facegen.stages.render.edges import mark_edges
from facegen.stages.render.renderer import View
from facegen.stages.render.surface import surface_of
from facegen.stages.render.torch_backend import TorchRenderer
from facegen.stages.render.torch_shading import srgb_decoded, srgb_encoded
from facegen.tests.portraits_rendered import portrait
from facegen.tests.scenes import PROJECTIONS
from facegen.tests.small_balls import ball, with_eye

SIZE = 14


def cameras_for(projections: list[int], size: int) -> Cameras:
    """Cameras that look at a ball of 100 mm, which turns from face to face."""
    count = len(projections)
    turn = 0.3 + 0.4 * np.arange(count)
    focal = np.where(np.array(projections) == PERSPECTIVE, size * 600 / 230, size / 230)
    intrinsics = np.tile(np.array([[1.0, 0, size / 2 + 0.2], [0, 1, size / 2 - 0.3], [0, 0, 1]]), (count, 1, 1))
    intrinsics[:, [0, 1], [0, 1]] = focal[:, None]
    rotation = head_rotation(turn, 0.2 * turn, -0.1 * turn)
    extrinsics = extrinsic_matrices(rotation, np.zeros((count, 3)), np.zeros(3), np.full(count, 600.0))
    return Cameras(
        torch.tensor(intrinsics), torch.tensor(extrinsics), torch.tensor(np.array(projections) == PERSPECTIVE)
    )


def lights_for(count: int) -> Lights:
    """One at infinity and a point light."""
    generator = torch.Generator().manual_seed(4)
    sh = 0.15 * torch.randn((count, 9, 3), generator=generator, dtype=torch.float64)
    sh[:, 0] += 2.0
    position = torch.tensor([[0.5, -0.4, -0.75, 0.0], [-150.0, -80.0, 250.0, 1.0]], dtype=torch.float64)
    position[0] /= position[0].norm()
    colour = torch.tensor([[0.6, 0.6, 0.6], [0.03, 0.05, 0.04]], dtype=torch.float64)
    return Lights(sh, position.repeat(count, 1, 1), colour.repeat(count, 1, 1))


def random(shape: tuple[int, ...], low: float, high: float) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("textured", [False, True], ids=["vertex colours", "texture and relief"])
def test_gradients_are_those_of_finite_differences(textured: bool) -> None:
    """With respect to everything at once: two faces, both projections, skin and eye."""
    model = with_eye(ball())
    renderer = DifferentiableRenderer(model, SIZE, SIZE, dtype=torch.float64)
    cameras, lights = cameras_for([PERSPECTIVE, SCALED_ORTHOGRAPHIC], SIZE), lights_for(2)
    vertices = torch.tensor(model.mean, dtype=torch.float64).repeat(2, 1, 1)
    triangle_id = renderer.visibility(vertices, cameras)
    assert ((triangle_id >= 0).sum(dim=(1, 2)) > 60).all()
    # Three random sums over the picture stand for its pixels.
    mixture = random((3, 2 * SIZE * SIZE * 3), -1.0, 1.0)
    inputs = (
        vertices, cameras.intrinsics, cameras.extrinsics, lights.sh, lights.position[..., :3], lights.colour,
        random((2, 3), 0.1, 0.6), random((2, 5, 5, 3) if textured else (2, len(model.mean), 3), 0.2, 0.8),
        random((2, 4, 4, 2), -0.3, 0.3),
    )  # fmt: skip

    def sums(*values: Tensor) -> Tensor:
        skin = Skin(texture=values[7], slopes=values[8]) if textured else Skin(albedo=values[7])
        picture = renderer.render(
            values[0],
            Cameras(values[1], values[2], cameras.perspective),
            Lights(values[3], torch.cat([values[4], lights.position[..., 3:]], dim=2), values[5]),
            replace(skin, iris=values[6]),
            triangle_id,
        )
        return mixture @ picture.linear.reshape(-1)

    leaves = tuple(value.clone().requires_grad_() for value in inputs[: 9 if textured else 8])
    gradients = torch.autograd.grad(sums(*leaves).sum(), leaves)
    assert all(bool((gradient != 0).any()) for gradient in gradients)
    # The fast mode compares random projections of the Jacobian: all inputs and outputs at once.
    for _ in range(3):
        assert torch.autograd.gradcheck(sums, leaves, eps=1e-6, atol=1e-4, rtol=1e-4, fast_mode=True)


@PROJECTIONS
@pytest.mark.parametrize("textured", [False, True], ids=["vertex colours", "texture and relief"])
def test_picture_is_that_of_the_renderers(projection: int, textured: bool) -> None:
    model = load_model(DefaultModelConfig())
    size = 96
    view = portrait(model, projection, textured=textured, size=size)
    frame = TorchRenderer(model, size, size).render(view)
    renderer = DifferentiableRenderer(model, size, size)
    assert isinstance(model.albedo, TextureAlbedo)
    if textured:
        assert view.texture is not None
        assert view.relief is not None
        skin = Skin(
            texture=srgb_decoded(torch.tensor(view.texture)[None] / 255),
            slopes=torch.tensor(view.relief)[None].float() / STEPS,
        )
    else:
        skin = Skin(albedo=torch.tensor(view.albedo)[None])
    skin = replace(skin, iris=torch.tensor(view.iris_colour)[None])
    picture = renderer.render(torch.tensor(view.vertices)[None], *of_view(view), skin)
    np.testing.assert_array_equal(picture.mask[0].numpy(), frame.triangle_id >= 0)
    # Where one sample a pixel tells the colour.
    inner = (frame.triangle_id >= 0) & ~edges_of(model, view, size)
    assert inner.sum() > 2000
    assert np.abs(255 * srgb_encoded(picture.linear[0]).numpy()[inner] - frame.image[inner]).max() <= 1.0


def edges_of(model: MorphableModel, view: View, size: int) -> NDArray[np.bool_]:
    """(H, W) the pixels that the renderers anti-alias."""
    mesh = CameraMesh.from_model(view.vertices, model.topology.triangles, view.extrinsics)
    triangle_id, key = rasterise(mesh.vertices, mesh.triangles, view.intrinsics, view.projection, size, size)
    kind, edge = np.empty((size, size), np.uint8), np.empty((size, size), np.uint8)
    mark_edges(triangle_id, key, surface_of(model).material, kind, edge)
    return edge.astype(np.bool_)


def of_view(view: View) -> tuple[Cameras, Lights]:
    cameras = Cameras(
        torch.tensor(view.intrinsics, dtype=torch.float32)[None],
        torch.tensor(view.extrinsics, dtype=torch.float32)[None],
        torch.tensor([view.projection == PERSPECTIVE]),
    )
    lights = Lights(
        *(torch.tensor(a)[None] for a in (view.light_sh, view.light_position, view.light_colour)),
        lit=None if view.lit is None else torch.tensor(view.lit)[None],
    )
    return cameras, lights


def descend(loss: Callable[[], Tensor], parameters: list[Tensor], steps: int = 6) -> float:
    """Minimise by L-BFGS; the loss in the end."""
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=25, history_size=30, line_search_fn="strong_wolfe",
        tolerance_grad=1e-12, tolerance_change=1e-16,
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    for _ in range(steps):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return float(loss().detach())


def test_shape_and_light_are_found_in_a_picture() -> None:
    """Three coefficients of a small model and 27 numbers of light, from one picture, with known colours."""
    model = ball(12, 16)
    size = 28
    renderer = DifferentiableRenderer(model, size, size, dtype=torch.float64)
    cameras, lights = cameras_for([PERSPECTIVE], size), lights_for(1)
    mean = torch.tensor(model.mean, dtype=torch.float64)
    x, y, z = (mean / 100).unbind(1)
    # Modes of a few mm: broader, a bump in front, a twist.
    basis = torch.stack([6 * x, 5 * y * z, 6 * x * y], dim=0)[..., None] * (mean / 100)
    skin = Skin(albedo=random((1, len(mean), 3), 0.3, 0.7))

    def picture(coefficients: Tensor, sh: Tensor) -> Tensor:
        vertices = mean + torch.einsum("k,kvc->vc", coefficients, basis)
        seen = renderer.render(vertices[None], cameras, replace(lights, sh=sh), skin, triangle_id)
        return seen.linear

    truth = torch.tensor([0.8, -0.6, 0.5], dtype=torch.float64)
    triangle_id = renderer.visibility((mean + torch.einsum("k,kvc->vc", truth, basis))[None], cameras)
    target = picture(truth, lights.sh)
    coefficients = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    start = torch.zeros_like(lights.sh)
    start[:, 0] = 1.5
    sh = start.clone().requires_grad_()
    loss = descend(lambda: ((picture(coefficients, sh) - target) ** 2).mean(), [coefficients, sh])
    assert loss < 1e-8
    np.testing.assert_allclose(coefficients.detach().numpy(), truth.numpy(), atol=5e-3)
    np.testing.assert_allclose(sh.detach().numpy(), lights.sh.numpy(), atol=2e-2)


def test_colours_are_found_in_pictures() -> None:
    """The albedo of every vertex of the ball that two cameras see, in known light."""
    model = ball(8, 12)
    size = 48
    renderer = DifferentiableRenderer(model, size, size, dtype=torch.float64)
    cameras, lights = cameras_for([PERSPECTIVE, SCALED_ORTHOGRAPHIC], size), lights_for(2)
    vertices = torch.tensor(model.mean, dtype=torch.float64).expand(2, -1, -1)
    triangle_id = renderer.visibility(vertices, cameras)
    truth = random((1, len(model.mean), 3), 0.1, 0.9)

    def pictures(albedo: Tensor) -> Tensor:
        return renderer.render(
            vertices, cameras, lights, Skin(albedo=albedo.expand(2, -1, -1)), triangle_id
        ).linear  # fmt: skip

    target = pictures(truth)
    albedo = torch.full_like(truth, 0.5).requires_grad_()
    assert descend(lambda: ((pictures(albedo) - target) ** 2).mean(), [albedo], steps=4) < 1e-6
    seen = np.unique(model.topology.triangles[np.unique(triangle_id[triangle_id >= 0])])
    counts = torch.bincount(torch.tensor(model.topology.triangles)[triangle_id[triangle_id >= 0].long()].reshape(-1))
    well = seen[counts.numpy()[seen] >= 30]
    assert len(well) >= 30
    np.testing.assert_allclose(albedo.detach()[0, well].numpy(), truth[0, well].numpy(), atol=2e-2)


def test_colours_come_from_one_place() -> None:
    renderer = DifferentiableRenderer(ball(), 8, 8)
    cameras, lights = cameras_for([PERSPECTIVE], 8), lights_for(1)
    with pytest.raises(ValueError, match="either an albedo or a texture"):
        renderer.render(torch.zeros((1, 54, 3)), cameras, lights, Skin())
