"""Our renderer against pyrender and plain rasterisers: CPU time of one frame, in one process and one run."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform as system
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.benchmarks.rasterisers import AffineBarycentrics, AffineColour, PlainVisibility, Visibility
from facegen.imaging.camera import NEAR, extrinsic_matrices, head_rotation, to_camera
from facegen.imaging.channels import rebuild
from facegen.imaging.normals import vertex_normals
from facegen.morphable.albedo import LinearAlbedo, TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.subdivision import split, subdivided_eye
from facegen.morphable.texture import level_for
from facegen.morphable.topology import Topology
from facegen.stages.render.numba_backend import NumbaRenderer
from facegen.stages.render.opengl import Platform, choose_platform
from facegen.stages.render.renderer import View
from facegen.stages.render.stage import TEXELS_PER_PIXEL, landmarks_of

Float = NDArray[np.float32]

DISTANCE = 1000.0
"""Of the camera from the head, mm."""

CHANNELS = ("mask", "depth", "normal", "segmentation", "uv", "pncc")
"""Of every frame, beside image, triangle number, barycentrics and landmarks."""

NOTES = (
    "milliseconds of process CPU time per frame, all threads counted; ours and pyrender take turns in one process",
    "ours: image, mask, triangle number, barycentrics, depth, normal, segmentation, UV, PNCC, landmarks and whether "
    "they are visible; ours_image_only: image, triangle number, barycentrics",
    "pyrender, one pass: colour and depth; same channels: three more passes for normal, PNCC and segmentation "
    "(UV, triangle number, barycentrics and landmarks are not asked of it)",
    "both take new vertex positions each frame; pyrender's go into existing buffers, which its public API cannot do: "
    "the upload is part of its times and also given alone (normals included), next to what a new mesh costs",
    "visibility: camera transform, triangle number and depth key at every pixel's centre; plain_visibility, the "
    "yardstick: the same by the loop over triangles of the renderer's prototype; visibility_over_plain: time over time",
    "affine_colour and affine_barycentrics: kernels of ours that do the work of 3DDFA_V2's Sim3DR (colours of the "
    "vertices and depth) and of face3d (triangle number, barycentrics and depth), not those programs: linear on the "
    "screen, weights from dot products at every pixel of a bounding box, no light, no culling, no clipping",
    "two_threads_speedup: wall-clock time of frames rendered one after another by one thread, over that of as many "
    "frames by two threads with a renderer each; it says nothing on a machine whose cores others keep busy",
)


def run(
    model: MorphableModel,
    *,
    size: int = 224,
    frames: int = 8,
    repeats: int = 9,
    platform: Platform = "auto",
    dense: MorphableModel | None = None,
) -> dict[str, Any]:
    """Measure both renderers.

    Args:
        model: the face model; the published figures use the ICT head of 11,248 vertices.
        size: height and width of the image in pixels.
        frames: views per repeat, each with its own face and pose.
        repeats: turns of every contestant, of which the medians are reported.
        platform: of OpenGL; one per process.
        dense: a model to measure as well with every triangle split in four; the published figures use the ICT head with
            its eyes, which gives 54 thousand vertices.

    Returns:
        Plain values ready for JSON: ``machine``, ``settings``, ``notes`` and for each of ``meshes`` its size, times in
        ms (``min``, ``median``, ``max``) and speed-ups (median of the ratios of neighbouring turns).

    Raises:
        RenderError: OpenGL does not work here; the message carries the remedy.
    """
    chosen = choose_platform(platform)
    scenes = [(model, views_of(model, size, frames))]
    if dense:
        fine, edges = subdivide(dense)
        scenes.append((fine, [_subdivided_view(view, edges) for view in views_of(dense, size, frames)]))
    return {
        "machine": _machine(),
        "settings": {"size": size, "frames": frames, "repeats": repeats, "platform": chosen, "model": model.name},
        "notes": list(NOTES),
        "meshes": [_measure(mesh, views, size, repeats) for mesh, views in scenes],
    }


def subdivide(model: MorphableModel) -> tuple[MorphableModel, NDArray[np.int64]]:
    """Split every triangle in four at the middles of its edges; one mode of zeros stands for each of the bases.

    Returns:
        The finer model, and the vertex pairs (E, 2) whose middles follow its first V vertices.
    """
    old = model.topology
    triangles, edges = split(old.triangles, old.vertex_count)
    uv_triangles, uv_edges = split(old.uv_triangles, len(old.uv))
    topology = Topology(
        triangles=triangles.astype(np.int32),
        triangle_region=np.repeat(old.triangle_region, 4),
        region_names=old.region_names,
        uv=_with_middles(old.uv, uv_edges),
        uv_triangles=uv_triangles.astype(np.int32),
        landmarks=old.landmarks,
        reference=_with_middles(old.reference, edges),
    )
    none = np.zeros((1, topology.vertex_count, 3), np.float32)
    fine = MorphableModel(
        name=f"{model.name}, subdivided",
        sha256=f"{model.sha256}, subdivided",
        topology=topology,
        mean=_with_middles(model.mean, edges),
        identity_basis=none,
        identity_names=("none",),
        expression_basis=none,
        expression_names=("none",),
        expression_bounds=model.expression_bounds,
        expression_limits=(),
        albedo=LinearAlbedo(("none",), _with_middles(_mean_albedo(model), edges), none),
        eyes=tuple(subdivided_eye(eye, edges, old.vertex_count) for eye in model.eyes),
        relief=model.relief,
        occlusion=None if model.occlusion is None else _with_middles(model.occlusion, edges),
    )
    return fine, edges


class StockPyrender:
    """pyrender as its documentation uses it, except that vertices are written into existing buffers.

    Args:
        model: the face model.
        size: height and width of the image in pixels.
    """

    def __init__(self, model: MorphableModel, size: int) -> None:
        import pyrender

        from facegen.stages.render import pyrender_parts as parts

        self._pyrender = pyrender
        self._triangles = model.topology.triangles
        self._renderer = pyrender.OffscreenRenderer(size, size)
        material = pyrender.MetallicRoughnessMaterial(
            metallicFactor=0.0, roughnessFactor=0.6, baseColorFactor=np.ones(4), doubleSided=False
        )
        count = model.topology.vertex_count
        self._colour = parts.DynamicMesh(self._triangles, count, True, material)
        self._colour.scene.add(pyrender.DirectionalLight(intensity=3.0))
        self._colour.scene.ambient_light = np.full(3, 0.3)
        self._normal = parts.DynamicMesh(self._triangles, count, False, material)
        self._pncc = parts.DynamicMesh(self._triangles, count, False, material)
        self._reference = model.topology.reference_colours
        # Regions meet at shared vertices: these get one copy per region, so that each keeps its own colour.
        regions = len(model.topology.region_names)
        corner = self._triangles.astype(np.int64) * regions + model.topology.triangle_region[:, None]
        pairs, flat = np.unique(corner, return_inverse=True)
        self._copies = pairs // regions
        self._region_colours = np.repeat((pairs % regions / 255.0).astype(np.float32)[:, None], 3, axis=1)
        self._regions = parts.DynamicMesh(flat.reshape(-1, 3).astype(np.int32), len(pairs), False, material)

    def upload(self, view: View) -> tuple[Float, Float]:
        """Bring a face to the shaded mesh; returns its positions and normals (V, 3), camera frame of OpenGL."""
        camera_vertices = to_camera(view.vertices, view.extrinsics)
        flip = np.array([1, -1, -1], np.float32)
        normals = vertex_normals(camera_vertices, self._triangles) * flip
        positions = camera_vertices * flip
        self._renderer._platform.make_current()
        self._colour.update(positions, view.albedo, normals)
        return positions, normals

    def new_mesh(self, view: View) -> None:
        """What :meth:`upload` costs without access to the buffers: a new mesh, drawn into a scene of its own."""
        camera_vertices = to_camera(view.vertices, view.extrinsics)
        mesh = self._pyrender.Mesh(
            [
                self._pyrender.Primitive(
                    positions=camera_vertices,
                    normals=vertex_normals(camera_vertices, self._triangles),
                    color_0=view.albedo,
                    indices=self._triangles,
                )
            ]
        )
        self._renderer._platform.make_current()
        mesh.primitives[0]._add_to_context()
        mesh.primitives[0].delete()

    def one_pass(self, view: View) -> tuple[NDArray[np.uint8], Float]:
        """Colour (H, W, 3) and depth (H, W)."""
        self.upload(view)
        return self._draw(self._colour, view, self._pyrender.RenderFlags.NONE)

    def same_channels(self, view: View) -> list[NDArray[np.generic]]:
        """Colour, depth, normal, PNCC and segmentation."""
        positions, normals = self.upload(view)
        colour, depth = self._draw(self._colour, view, self._pyrender.RenderFlags.NONE)
        self._normal.update(positions, normals * np.float32(0.5) + np.float32(0.5))
        self._pncc.update(positions, self._reference)
        self._regions.update(positions[self._copies], self._region_colours)
        flat = self._pyrender.RenderFlags.FLAT
        more = [self._draw(mesh, view, flat)[0] for mesh in (self._normal, self._pncc, self._regions)]
        return [colour, depth, *more]

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.delete()

    def _draw(self, mesh: Any, view: View, flags: int) -> tuple[NDArray[np.uint8], Float]:
        k = view.intrinsics
        camera = self._pyrender.IntrinsicsCamera(
            fx=k[0, 0], fy=k[1, 1], cx=k[0, 2], cy=k[1, 2], znear=max(NEAR, DISTANCE / 2), zfar=2 * DISTANCE
        )
        mesh.look_through(camera)
        result: tuple[NDArray[np.uint8], Float] = self._renderer.render(mesh.scene, flags)
        return result


def _measure(model: MorphableModel, views: Sequence[View], size: int, repeats: int) -> dict[str, Any]:
    ours = NumbaRenderer(model, size, size)
    stock = StockPyrender(model, size)
    topology = model.topology
    mesh = topology.triangles, topology.vertex_count, size

    def all_channels(view: View) -> None:
        frame = ours.render(view)
        rebuild(CHANNELS, topology, frame.mesh, frame.triangle_id, frame.barycentric)
        landmarks_of(model, view, frame)

    contestants: dict[str, Callable[[View], object]] = {
        "ours": all_channels,
        "ours_image_only": ours.render,
        "visibility": Visibility(*mesh).draw,
        "plain_visibility": PlainVisibility(*mesh).draw,
        "affine_colour": AffineColour(*mesh).draw,
        "affine_barycentrics": AffineBarycentrics(*mesh).draw,
        "pyrender_one_pass": stock.one_pass,
        "pyrender_same_channels": stock.same_channels,
        "pyrender_upload": stock.upload,
        "pyrender_new_mesh": stock.new_mesh,
    }
    try:
        # Compiles kernels and shaders.
        for contestant in contestants.values():
            contestant(views[0])
        turns = [
            {name: _milliseconds(contestant, views) for name, contestant in contestants.items()} for _ in range(repeats)
        ]
        covered = statistics.mean(float((ours.render(view).triangle_id >= 0).mean()) for view in views)
        threads = [_two_threads(model, views, size) for _ in range(repeats)]
    finally:
        ours.close()
        stock.close()
    result: dict[str, Any] = {
        "model": model.name,
        "vertices": topology.vertex_count,
        "triangles": len(topology.triangles),
        "covered": round(covered, 3),
    }
    for name in contestants:
        times = [turn[name] for turn in turns]
        result[f"{name}_ms"] = _spread(times)
    result["visibility_over_plain"] = _ratio(turns, "visibility", "plain_visibility")
    for name in ("affine_colour", "affine_barycentrics"):
        result[f"visibility_speedup_over_{name}"] = _ratio(turns, name, "visibility")
        result[f"speedup_over_{name}"] = _ratio(turns, name, "ours")
    for name in ("one_pass", "same_channels"):
        result[f"speedup_over_{name}"] = _ratio(turns, f"pyrender_{name}", "ours")
    result["two_threads_speedup"] = _spread(threads)
    return result


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "min": round(min(values), 3),
        "median": round(statistics.median(values), 3),
        "max": round(max(values), 3),
    }


def _ratio(turns: Sequence[dict[str, float]], above: str, below: str) -> float:
    """Median of the ratios of neighbouring turns."""
    return round(statistics.median(turn[above] / turn[below] for turn in turns), 3)


def _two_threads(model: MorphableModel, views: Sequence[View], size: int) -> float:
    """Wall-clock time of rendering all views twice, by one thread over by two."""
    renderers = NumbaRenderer(model, size, size), NumbaRenderer(model, size, size)

    def render_all(renderer: NumbaRenderer) -> None:
        for view in views:
            renderer.render(view)

    with ThreadPoolExecutor(2) as pool:
        start = time.perf_counter()
        for renderer in renderers:
            pool.submit(render_all, renderer).result()
        alone = time.perf_counter()
        list(pool.map(render_all, renderers))
        return (alone - start) / (time.perf_counter() - alone)


def _milliseconds(contestant: Callable[[View], object], views: Sequence[View]) -> float:
    start = time.process_time()
    for view in views:
        contestant(view)
    return (time.process_time() - start) * 1000.0 / len(views)


def views_of(model: MorphableModel, size: int, frames: int) -> list[View]:
    """Faces of different people in poses from profile to profile."""
    generator = np.random.default_rng(20)
    identity = generator.standard_normal((frames, len(model.identity_names))).astype(np.float32)
    vertices = model.decode(identity, np.zeros((frames, len(model.expression_names)), np.float32))
    turn = np.linspace(-1.0, 1.0, frames)
    rotation = head_rotation(1.2 * turn, 0.35 * np.sin(5.0 * turn), 0.25 * np.cos(7.0 * turn))
    low, high = model.mean.min(axis=0), model.mean.max(axis=0)
    pivot = ((low + high) / 2).astype(np.float64)
    extrinsics = extrinsic_matrices(rotation, np.zeros((frames, 3)), pivot, np.full(frames, DISTANCE))
    # The head fills 80 % of the image's height.
    focal = 0.8 * size * DISTANCE / float(high[1] - low[1])
    intrinsics = np.array([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]])
    albedo, textures = _mean_albedo(model), _mean_textures(model, size)
    light = np.zeros((9, 3), np.float32)
    light[0], light[2] = 2.5, -0.6
    direction = np.array([0.4, -0.6, -0.7, 0.0], np.float32)
    return [
        View(
            vertices=vertices[i],
            albedo=albedo,
            iris_colour=np.array([0.2, 0.3, 0.4], np.float32),
            projection=PERSPECTIVE,
            intrinsics=intrinsics,
            extrinsics=extrinsics[i],
            light_sh=light,
            light_position=(direction / np.linalg.norm(direction))[None],
            light_colour=np.full((1, 3), 0.5, np.float32),
            background=generator.integers(0, 256, (size, size, 3), np.uint8),
            **textures,
        )
        for i in range(frames)
    ]


def _mean_albedo(model: MorphableModel) -> Float:
    """(V, 3) linear RGB at coefficients of zero."""
    albedo: Float = model.decode_albedo(np.zeros((1, len(model.albedo_names)), np.float32))[0]
    return albedo


def _mean_textures(model: MorphableModel, size: int) -> dict[str, Any]:
    """Texture and relief of a view at coefficients of zero and at an image size, where the model has them."""
    zero = np.zeros((1, len(model.albedo_names)), np.float32)
    least, found = TEXELS_PER_PIXEL * size, dict[str, NDArray[Any]]()
    if isinstance(model.albedo, TextureAlbedo):
        found["texture"] = model.albedo.decode_texture(zero, level_for(model.albedo.sizes, least))[0]
    if found and model.relief:
        still = np.zeros((1, len(model.expression_names)), np.float32)
        found["relief"] = model.relief.decode(zero, still, level_for(model.relief.sizes, least))[0]
    return found


def _subdivided_view(view: View, edges: NDArray[np.int64]) -> View:
    return View(
        **{
            **vars(view),
            "vertices": _with_middles(view.vertices, edges),
            "albedo": None if view.albedo is None else _with_middles(view.albedo, edges),
        }
    )


def _with_middles(values: Float, edges: NDArray[np.int64]) -> Float:
    return np.concatenate([values, values[edges].mean(axis=1, dtype=np.float32)])


def _machine() -> dict[str, Any]:
    packages = ("numba", "numpy", "pyrender", "PyOpenGL")
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "system": system.platform(),
        "python": system.python_version(),
        **{name.lower(): importlib.metadata.version(name) for name in packages},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return system.processor() or system.machine()


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    settings = result["settings"]
    size, platform_name = settings["size"], settings["platform"]
    lines = [f"pyrender on {platform_name}, {size}×{size} pixels, CPU ms per frame (median)"]
    for mesh in result["meshes"]:
        threads = mesh["two_threads_speedup"]["median"]
        visibility, plain = mesh["visibility_ms"]["median"], mesh["plain_visibility_ms"]["median"]
        lines += [
            f"{mesh['vertices']:>7,} vertices: ours, all channels {mesh['ours_ms']['median']:.2f}; "
            f"pyrender one pass {mesh['pyrender_one_pass_ms']['median']:.1f} ({mesh['speedup_over_one_pass']:.1f}×), "
            f"same channels {mesh['pyrender_same_channels_ms']['median']:.1f} "
            f"({mesh['speedup_over_same_channels']:.1f}×)",
            f"                  visibility alone {visibility:.2f}; the prototype's loop {plain:.2f} "
            f"(ours takes {mesh['visibility_over_plain']:.2f} of it)",
            *(
                f"                  work of {of}'s class {mesh[f'{name}_ms']['median']:.2f} (our visibility "
                f"{mesh[f'visibility_speedup_over_{name}']:.1f}×, all channels {mesh[f'speedup_over_{name}']:.2f}×)"
                for name, of in (("affine_colour", "Sim3DR"), ("affine_barycentrics", "face3d"))
            ),
            f"                  two threads, wall-clock: {threads:.2f}× as many frames as one",
        ]
    return "\n".join(lines)
