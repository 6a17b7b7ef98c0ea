"""The torch back-end: the numba renderer's image and labels in plain torch, on the CPU or any device of torch.

Slower than the compiled one on a CPU; the readable twin of both compiled renderers, and what trains through the same
formulas (:mod:`facegen.stages.render.differentiable`). Labels are bit-identical; of the image a few bytes differ by 1,
because sums are rounded elsewhere.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from facegen.batch import PERSPECTIVE
from facegen.errors import RenderError
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.rasterise_torch import rasterise_torch
from facegen.imaging.visibility import UNIT
from facegen.imaging.visibility_torch import quantise, weights_on_ray
from facegen.morphable.model import MorphableModel
from facegen.morphable.relief import STEPS
from facegen.stages.render.deferred import srgb_decoding, srgb_encoding
from facegen.stages.render.detail import DetailParts
from facegen.stages.render.renderer import Frame, Renderer, View, check_view
from facegen.stages.render.surface import EYE
from facegen.stages.render.torch_scene import Points, Scene, SurfaceTensors, shade_points
from facegen.stages.render.torch_shading import light_polynomial

POINTS = 1 << 16
"""Most points that are shaded together, which bounds the memory."""

_EDGE = float(np.float32(0.004))  # as in stages.render.edges
_WEIGHT = float(np.float32(1 / UNIT))
# The nine samples of an edge pixel, centre first: offsets in half pixels and trapezoidal weights.
_SAMPLE_ROW = (0, -1, -1, -1, 0, 0, 1, 1, 1)
_SAMPLE_COLUMN = (0, -1, 0, 1, -1, 1, -1, 0, 1)
_SAMPLE_WEIGHT = (4 / 16, 1 / 16, 2 / 16, 1 / 16, 2 / 16, 2 / 16, 1 / 16, 2 / 16, 1 / 16)


class TorchRenderer(Renderer):
    """Visibility, labels and image in torch.

    Args:
        model: the face model.
        height: of the image in pixels.
        width: of the image in pixels.
        device: of torch; on another one the image's last bits may differ, the labels do not.

    Raises:
        RenderError: torch has no such device here.
    """

    name: ClassVar[str] = "torch"
    draws_shadows: ClassVar[bool] = True
    draws_textures: ClassVar[bool] = True

    def __init__(self, model: MorphableModel, height: int, width: int, device: str = "cpu") -> None:
        super().__init__(model, height, width)
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise RenderError("render.device is 'cuda', and torch finds no GPU on this machine; take 'cpu'")
        self._surface = SurfaceTensors(model, self.device, torch.float32)
        self._detail = DetailParts(model.topology, model.relief)
        self._decode = self._tensor(srgb_decoding())
        self._encode = self._tensor(srgb_encoding())
        self._rows = self._tensor(np.array(_SAMPLE_ROW))
        self._columns = self._tensor(np.array(_SAMPLE_COLUMN))

    @torch.no_grad()
    def render(self, view: View) -> Frame:
        """Render one face.

        Raises:
            RenderError: when the arrays of ``view`` do not fit the model or the image size.
        """
        check_view(view, self.model, self.height, self.width)
        mesh = CameraMesh.from_model(view.vertices, self.model.topology.triangles, view.extrinsics)
        scene = self._scene(view, mesh)
        intrinsics = self._tensor(view.intrinsics)
        fine_triangle, fine_key = (
            array[0]
            for array in rasterise_torch(
                scene.vertices, self._surface.triangles, intrinsics[None], scene.perspective,
                self.height, self.width, supersampled=True,
            )
        )  # fmt: skip
        triangle_id, key = fine_triangle[1::2, 1::2], fine_key[1::2, 1::2]
        kind = torch.where(triangle_id >= 0, self._surface.material[triangle_id.long()] + 1, 0)
        edge = _edges(key, kind)
        background = self._tensor(view.background)
        image = background.clone()
        row, column = torch.nonzero(triangle_id >= 0, as_tuple=True)
        points = self._points(scene, intrinsics, triangle_id[row, column], row + 0.5, column + 0.5)
        weights = quantise(points.weights)
        barycentric = torch.zeros((self.height, self.width, 2), dtype=torch.int32, device=self.device)
        barycentric[row, column] = weights.to(torch.int32)
        inner = ~edge[row, column]
        seen = Points(points.face, points.triangle, weights.to(torch.float32) * _WEIGHT, points.ray)
        image[row[inner], column[inner]] = self._bytes(self._colours(scene, seen[inner]))
        row, column = torch.nonzero(edge, as_tuple=True)
        image[row, column] = self._edge_pixels(
            scene, intrinsics, row, column, fine_triangle, fine_key, self._decode[background[row, column].long()]
        )
        return Frame(
            image.cpu().numpy(),
            triangle_id.contiguous().cpu().numpy(),
            barycentric.cpu().numpy().astype(np.uint16),
            mesh,
        )

    def _tensor(self, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
        return torch.tensor(np.ascontiguousarray(array), device=self.device)

    def _scene(self, view: View, mesh: CameraMesh) -> Scene:
        texture = slopes = fade = None
        if view.texture is not None:
            detail = self._detail.of(view.texture, view.relief, mesh, view.intrinsics, view.projection)
            texture = self._decode[self._tensor(view.texture).long()][None]
            # Of a texture without relief, slopes are zero.
            slopes = (self._tensor(detail.relief).to(torch.float32) / STEPS)[None]
            fade = self._tensor(np.array([detail.fade])) if detail.fade > 0 else None
        return Scene(
            vertices=self._tensor(mesh.vertices)[None],
            normals=self._tensor(mesh.normals)[None],
            perspective=self._tensor(np.array([view.projection == PERSPECTIVE])),
            iris=self._tensor(view.iris_colour)[None],
            polynomial=light_polynomial(self._tensor(view.light_sh).to(torch.float64)[None]).to(torch.float32),
            light_position=self._tensor(view.light_position)[None],
            light_colour=self._tensor(view.light_colour)[None],
            albedo=None if view.albedo is None else self._tensor(view.albedo)[None],
            texture=texture,
            slopes=slopes,
            fade=fade,
            lit=None if view.lit is None else self._tensor(view.lit)[None],
        )

    def _points(self, scene: Scene, intrinsics: Tensor, triangle: Tensor, y: Tensor, x: Tensor) -> Points:
        """Where the rays through (x, y), in pixels, meet their triangles; weights and rays in float64."""
        triangle = triangle.long()
        u = (x.to(torch.float64) - intrinsics[0, 2]) * (1.0 / intrinsics[0, 0])
        v = (y.to(torch.float64) - intrinsics[1, 2]) * (1.0 / intrinsics[1, 1])
        ray = torch.stack([u, v], dim=1)
        corners = scene.vertices[0].to(torch.float64)[self._surface.triangles[triangle]]
        face = torch.zeros_like(triangle)
        return Points(face, triangle, weights_on_ray(corners, ray, scene.perspective[face]), ray)

    def _colours(self, scene: Scene, points: Points) -> Tensor:
        """Linear RGB (N, 3)."""
        points = Points(points.face, points.triangle, points.weights.float(), points.ray.float())
        parts = [
            shade_points(self._surface, scene, points[begin : begin + POINTS])
            for begin in range(0, len(points), POINTS)
        ]
        return torch.cat(parts) if parts else torch.zeros((0, 3), device=self.device)

    def _bytes(self, linear: Tensor) -> Tensor:
        step = linear.clamp(0.0, 1.0) * (len(self._encode) - 1) + 0.5
        return self._encode[step.to(torch.int64)]

    def _edge_pixels(
        self,
        scene: Scene,
        intrinsics: Tensor,
        row: Tensor,
        column: Tensor,
        fine_triangle: Tensor,
        fine_key: Tensor,
        background: Tensor,
    ) -> Tensor:
        """Bytes (E, 3) of edge pixels: nine samples each, of which those of one surface share their colour."""
        fine_row, fine_column = 2 * row[:, None] + 1 + self._rows, 2 * column[:, None] + 1 + self._columns
        triangle, key = fine_triangle[fine_row, fine_column].long(), fine_key[fine_row, fine_column]
        material = torch.where(triangle >= 0, self._surface.material[triangle], -1)
        owner = _owners(material, key)
        shaded = (owner == torch.arange(9, device=self.device)) & (triangle >= 0)
        pixel, sample = torch.nonzero(shaded, as_tuple=True)
        points = self._points(
            scene, intrinsics, triangle[shaded],
            row[pixel] + 0.5 + 0.5 * self._rows[sample], column[pixel] + 0.5 + 0.5 * self._columns[sample],
        )  # fmt: skip
        colour = torch.zeros((*triangle.shape, 3), device=self.device)
        # Clamped before averaging, so that a highlight's edge is anti-aliased as it is seen.
        colour[pixel, sample] = self._colours(scene, points).clamp(max=1.0)
        colour = torch.take_along_dim(colour, owner[..., None], dim=1)
        colour = torch.where((triangle >= 0)[..., None], colour, background[:, None])
        total = torch.zeros_like(background)
        for n, weight in enumerate(_SAMPLE_WEIGHT):
            total = total + weight * colour[:, n]
        return self._bytes(total)


def _edges(key: Tensor, kind: Tensor) -> Tensor:
    """Pixels (H, W) of which one sample does not tell the colour; see ``mark_edges`` in stages.render.edges."""
    height, width = key.shape
    rows, columns = torch.arange(height, device=key.device), torch.arange(width, device=key.device)
    up, down = (rows - 1).clamp(min=0), (rows + 1).clamp(max=height - 1)
    left, right = (columns - 1).clamp(min=0), (columns + 1).clamp(max=width - 1)
    other = (kind[up] != kind) | (kind[down] != kind) | (kind[:, left] != kind) | (kind[:, right] != kind)
    across = key[:, left] + key[:, right] - key - key
    along = key[up] + key[down] - key - key
    step = torch.maximum(across.abs(), along.abs())
    return (kind == EYE + 1) | other | (step > _EDGE * key)


def _owners(material: Tensor, key: Tensor) -> Tensor:
    """(E, 9) the sample whose colour each sample takes: the first of its surface, in their order, or itself."""
    owner = torch.arange(material.shape[1], device=material.device).repeat(len(material), 1)
    for n in range(material.shape[1]):
        # Backwards, so that the first surface met wins.
        for m in reversed(range(n)):
            same = (owner[:, m] == m) & (material[:, m] == material[:, n]) & (material[:, n] != EYE)
            same &= (key[:, m] - key[:, n]).abs() <= _EDGE * key[:, n]
            owner[:, n] = torch.where(same, m, owner[:, n])
    return owner
