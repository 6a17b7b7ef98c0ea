"""The standard OpenGL path: pyrender's shading, and an exact triangle-number pass for the labels."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE
from facegen.errors import RenderError
from facegen.imaging.camera import NEAR, to_camera
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.normals import vertex_normals
from facegen.imaging.visibility import barycentric_coordinates
from facegen.morphable.model import MorphableModel
from facegen.stages.render.opengl import PACKAGES, Platform, choose_platform
from facegen.stages.render.renderer import Frame, Renderer, View, check_lights
from facegen.stages.render.shading import METRE

Float = NDArray[np.float32]

MOST_LIGHTS = 4
"""Of each kind: pyrender leaves out the others."""

ROUGHNESS = 0.6
"""Perceptual roughness of the skin's highlight in pyrender's shading."""

PUPIL = (0.35, 0.02)
"""Radius of the pupil as a part of the iris angle, and its reflectance."""

# OpenCV's camera axes to OpenGL's: y up, z towards the viewer.
_FLIP = np.array([1, -1, -1], np.float32)

# 24-bit colours, of which 0 is the background.
_MOST_TRIANGLES = (1 << 24) - 2

_Y00 = 0.5 / np.sqrt(np.pi)


class PyrenderRenderer(Renderer):
    """Renders with pyrender on OSMesa or EGL.

    The image is pyrender's metallic-roughness shading with four samples a pixel: the lights, and of the
    spherical-harmonic light its constant part as ambient. Its point lights, too, fall off with the square of the
    distance, in units of the scene: times 1000² they are ours everywhere. The triangle number is sampled at each
    pixel's centre. Colours are those of the vertices, interpolated: of a model with a texture, what that has at the
    vertices; relief is not drawn.

    Args:
        model: the face model.
        height: of the image in pixels.
        width: of the image in pixels.
        platform: ``"osmesa"``, ``"egl"`` or ``"auto"``, see :func:`facegen.stages.render.opengl.choose_platform`.

    Raises:
        RenderError: OpenGL does not work here, or not on this platform; the message carries the remedy.
    """

    name: ClassVar[str] = "pyrender"
    draws_shadows: ClassVar[bool] = False
    draws_textures: ClassVar[bool] = False

    def __init__(self, model: MorphableModel, height: int, width: int, platform: Platform = "auto") -> None:
        super().__init__(model, height, width)
        triangles = model.topology.triangles
        if len(triangles) > _MOST_TRIANGLES:
            raise RenderError(f"a triangle number has 24 bits, so at most {_MOST_TRIANGLES} triangles can be drawn")
        self.platform = choose_platform(platform)
        try:
            import pyrender

            from facegen.stages.render import pyrender_parts as parts

            self._context = pyrender.OffscreenRenderer(width, height)
            self._exact = parts.SingleSampleRenderer(width, height)
        except Exception as error:  # drivers fail in many ways, none of which a caller can tell apart
            raise RenderError(
                f"OpenGL platform '{self.platform}' does not start ({error!r}); run: {PACKAGES[self.platform]}"
            ) from error
        self._finalizer = weakref.finalize(self, _release, self._context, self._exact)
        self._camera_class = parts.MatrixCamera
        self._flags = pyrender.RenderFlags
        material = pyrender.MetallicRoughnessMaterial(
            metallicFactor=0.0, roughnessFactor=ROUGHNESS, baseColorFactor=np.ones(4), doubleSided=False
        )
        self._shaded = parts.DynamicMesh(triangles, model.topology.vertex_count, True, material)
        self._light_classes = pyrender.DirectionalLight, pyrender.PointLight
        # A flat colour per triangle needs corners of its own.
        corners = np.arange(3 * len(triangles), dtype=np.int32).reshape(-1, 3)
        self._numbered = parts.DynamicMesh(corners, corners.size, False, material)
        self._numbers = np.repeat(_number_colours(len(triangles)), 3, axis=0)
        self._eye_vertices, self._pupil_vertices = _painted_vertices(model)

    def render(self, view: View) -> Frame:
        """Render one face; see :class:`facegen.stages.render.renderer.Frame`.

        Raises:
            RenderError: the view's arrays do not fit the model or the image size, or it has more lights than pyrender
                draws.
        """
        albedo = self._check(view)
        mesh = CameraMesh.from_model(view.vertices, self.model.topology.triangles, view.extrinsics)
        triangle_id, _ = self._visibility(view, mesh.vertices)
        barycentric = barycentric_coordinates(
            triangle_id, mesh.triangles, mesh.vertices, view.intrinsics, view.projection
        )
        return Frame(self._image(view, mesh.vertices, albedo), triangle_id, barycentric, mesh)

    def depth(self, view: View) -> Float:
        """Depth (H, W) float32 at the pixel centres from OpenGL's depth buffer: mm along the optical axis, 0 for none.

        Raises:
            RenderError: the view's arrays do not fit the model or the image size.
        """
        self._check(view)
        _, depth = self._visibility(view, to_camera(view.vertices, view.extrinsics))
        return depth

    def close(self) -> None:
        """Free the OpenGL context; the renderer cannot be used afterwards."""
        self._finalizer()

    def _check(self, view: View) -> Float:
        """The view's albedo."""
        expected = (self.model.topology.vertex_count, 3)
        if view.albedo is None:
            raise RenderError(f"view.albedo: expected shape {expected}, found none")
        for name in ("vertices", "albedo"):
            found = getattr(view, name).shape
            if found != expected:
                raise RenderError(f"view.{name}: expected shape {expected}, found {found}")
        if view.background.shape != (self.height, self.width, 3):
            raise RenderError(
                f"view.background: expected shape {(self.height, self.width, 3)}, found {view.background.shape}"
            )
        check_lights(view, expected[0])
        # Lights of no colour are not drawn.
        is_point = view.light_position[view.light_colour.any(axis=1), 3] == 1
        for count, kind in ((is_point.sum(), "point lights"), ((~is_point).sum(), "lights at infinity")):
            if count > MOST_LIGHTS:
                raise RenderError(f"pyrender draws at most {MOST_LIGHTS} {kind}, the view has {count}")
        return view.albedo

    def _visibility(self, view: View, camera_vertices: Float) -> tuple[NDArray[np.int32], Float]:
        """Triangle numbers and depth (H, W) at the pixel centres."""
        camera = self._camera(view, camera_vertices)
        if camera is None:
            return np.full((self.height, self.width), -1, np.int32), np.zeros((self.height, self.width), np.float32)
        self._context._platform.make_current()
        corners = camera_vertices[self.model.topology.triangles.reshape(-1)]
        self._numbered.update(corners * _FLIP, self._numbers)
        self._numbered.look_through(camera)
        flags = self._flags
        colours, buffer = self._exact.render(self._numbered.scene, flags.FLAT | flags.OFFSCREEN)
        digits = colours.astype(np.int32)
        triangle_id: NDArray[np.int32] = digits[..., 0] + (digits[..., 1] << 8) + (digits[..., 2] << 16) - 1
        near, far, value = camera.znear, camera.zfar, buffer.astype(np.float64)
        if view.projection == PERSPECTIVE:
            depth = near * far / (far - value * (far - near))
        else:
            depth = near + value * (far - near)
        return triangle_id, np.where(triangle_id >= 0, depth, 0.0).astype(np.float32)

    def _image(self, view: View, camera_vertices: Float, albedo: Float) -> NDArray[np.uint8]:
        camera = self._camera(view, camera_vertices)
        if camera is None:
            return view.background.copy()
        self._context._platform.make_current()
        colours = albedo.copy()
        colours[self._eye_vertices] = view.iris_colour
        colours[self._pupil_vertices] = PUPIL[1]
        normals = vertex_normals(camera_vertices, self.model.topology.triangles)
        self._shaded.update(camera_vertices * _FLIP, colours, normals * _FLIP)
        self._shaded.look_through(camera)
        scene = self._shaded.scene
        scene.ambient_light = np.maximum(view.light_sh[0] * _Y00, 0.0)
        lights = zip(view.light_position, view.light_colour, strict=True)
        self._shaded.shine([self._light(position, colour) for position, colour in lights if colour.any()])
        flags = self._flags
        rgba, _ = self._context._renderer.render(scene, flags.RGBA | flags.OFFSCREEN)
        # Averaging the samples has left the colours multiplied by the coverage.
        uncovered = 255 - rgba[..., 3:].astype(np.uint32)
        image = rgba[..., :3] + (uncovered * view.background + 127) // 255
        clipped: NDArray[np.uint8] = np.minimum(image, 255).astype(np.uint8)
        return clipped

    def _light(self, position: Float, colour: Float) -> tuple[Any, NDArray[np.float64]]:
        """One of pyrender's lights, and its pose (4, 4)."""
        at_infinity, at_point = self._light_classes
        place, colour = position[:3] * _FLIP, np.asarray(colour, np.float64)
        # pyrender divides the albedo by π; our light is what a white surface shows.
        if position[3] == 0:
            return at_infinity(color=colour, intensity=np.pi), _towards(place)
        pose = np.eye(4)
        pose[:3, 3] = place
        return at_point(color=colour, intensity=np.pi * METRE**2), pose

    def _camera(self, view: View, camera_vertices: Float) -> Any:
        """The view's camera with clipping planes around the mesh; ``None`` when the mesh lies behind it."""
        depth = camera_vertices[:, 2]
        near, far = max(NEAR, float(depth.min()) - 1.0), float(depth.max()) + 1.0
        if depth.max() <= NEAR:
            return None
        matrix = projection_matrix(view.intrinsics, view.projection, self.height, self.width, near, far)
        return self._camera_class(matrix, near, far)


def projection_matrix(
    intrinsics: NDArray[np.float64], projection: int, height: int, width: int, near: float, far: float
) -> NDArray[np.float64]:
    """OpenGL's projection matrix (4, 4) of one of our cameras.

    Args:
        intrinsics: (3, 3) pixels, see :class:`facegen.batch.Samples`.
        projection: PERSPECTIVE or SCALED_ORTHOGRAPHIC.
        height: of the image in pixels.
        width: of the image in pixels.
        near: depth of the near clipping plane, mm.
        far: depth of the far clipping plane, mm.

    Returns:
        Camera frame with OpenGL's axes (y up, z towards the viewer) to clip space.
    """
    matrix = np.zeros((4, 4))
    matrix[0, 0] = 2.0 * intrinsics[0, 0] / width
    matrix[1, 1] = 2.0 * intrinsics[1, 1] / height
    centre = np.array([2.0 * intrinsics[0, 2] / width - 1.0, 1.0 - 2.0 * intrinsics[1, 2] / height])
    if projection == PERSPECTIVE:
        matrix[:2, 2] = -centre
        matrix[2, 2] = (far + near) / (near - far)
        matrix[2, 3] = 2.0 * far * near / (near - far)
        matrix[3, 2] = -1.0
    else:
        matrix[:2, 3] = centre
        matrix[2, 2] = 2.0 / (near - far)
        matrix[2, 3] = (far + near) / (near - far)
        matrix[3, 3] = 1.0
    return matrix


def _number_colours(count: int) -> Float:
    """(count, 3) colours in [0, 1] that spell the numbers 1 … count in three bytes."""
    number = np.arange(1, count + 1)
    digits = np.stack([number & 255, number >> 8 & 255, number >> 16 & 255], axis=1)
    return (digits / 255.0).astype(np.float32)


def _painted_vertices(model: MorphableModel) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Vertices of the irises (pupils included), and of the pupils."""
    iris, pupil = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for eye in model.eyes:
        angle = np.arccos(np.clip(eye.direction[:, 2], -1.0, 1.0))
        iris.append(eye.vertices[angle < eye.iris_angle])
        pupil.append(eye.vertices[angle < PUPIL[0] * eye.iris_angle])
    return np.concatenate(iris), np.concatenate(pupil)


def _towards(direction: Float) -> NDArray[np.float64]:
    """A pose (4, 4) whose z axis is the unit vector ``direction``: pyrender's lights shine along -z."""
    z = direction.astype(np.float64)
    helper = np.eye(3)[np.abs(z).argmin()]
    x = np.cross(helper, z)
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    return pose


def _release(context: Any, exact: Any) -> None:
    platform = context._platform
    if platform is None:
        return
    platform.make_current()
    exact.delete()
    if getattr(platform, "_egl_context", None) is not None:
        # pyrender would also terminate the EGL display, which other renderers of this process may share.
        from OpenGL.EGL import eglDestroyContext

        context._renderer.delete()
        eglDestroyContext(platform._egl_display, platform._egl_context)
        platform._egl_context = platform._egl_display = None
        context._renderer = context._platform = None
    else:
        context.delete()
