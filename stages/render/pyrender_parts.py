"""What the OpenGL back-end adds to pyrender's classes.

Importing this module imports pyrender and PyOpenGL: call :func:`facegen.stages.render.opengl.choose_platform` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pyrender
import pyrender.renderer
from numpy.typing import NDArray
from OpenGL import GL

Float = NDArray[np.float32]


class MatrixCamera(pyrender.Camera):  # type: ignore[misc]
    """A camera given by its OpenGL projection matrix, (4, 4) float64."""

    def __init__(self, matrix: NDArray[np.float64], znear: float, zfar: float) -> None:
        super().__init__(znear=znear, zfar=zfar)
        self.matrix = matrix

    def get_projection_matrix(self, width: int | None = None, height: int | None = None) -> NDArray[np.float64]:
        """The matrix; the viewport is already part of it."""
        return self.matrix


class DynamicMesh:
    """A scene of one mesh whose vertices change from frame to frame while its buffers stay.

    Args:
        triangles: (T, 3).
        vertex_count: V.
        normals: whether vertices carry normals, which shading needs.
        material: a pyrender material.
    """

    def __init__(self, triangles: NDArray[np.int32], vertex_count: int, normals: bool, material: Any) -> None:
        self._vertices = np.zeros((vertex_count, 10 if normals else 7), np.float32)
        self._vertices[:, -1] = 1.0
        self._normals = normals
        self._primitive = pyrender.Primitive(
            positions=self._vertices[:, :3],
            normals=self._vertices[:, 3:6] if normals else None,
            color_0=self._vertices[:, -4:],
            indices=triangles,
            material=material,
        )
        self.scene = OrderedScene(bg_color=np.zeros(4), ambient_light=np.zeros(3))
        self.scene.add(pyrender.Mesh([self._primitive]))
        self._camera_node: Any = None
        self._light_nodes: list[Any] = []

    def update(self, positions: Float, colours: Float | None = None, normals: Float | None = None) -> None:
        """Replace vertex data; what is ``None`` stays. The OpenGL context must be current.

        Args:
            positions: (V, 3).
            colours: (V, 3) in [0, 1].
            normals: (V, 3).
        """
        self._vertices[:, :3] = positions
        if colours is not None:
            self._vertices[:, -4:-1] = colours
        if normals is not None:
            self._vertices[:, 3:6] = normals
        if self._primitive._in_context():
            GL.glBindBuffer(GL.GL_ARRAY_BUFFER, self._primitive._buffers[0])
            GL.glBufferSubData(GL.GL_ARRAY_BUFFER, 0, self._vertices.nbytes, self._vertices)
        else:
            # pyrender uploads these when the scene is first drawn.
            self._primitive.positions = self._vertices[:, :3]
            self._primitive.color_0 = self._vertices[:, -4:]
            if self._normals:
                self._primitive.normals = self._vertices[:, 3:6]

    def shine(self, lights: Sequence[tuple[Any, NDArray[np.float64]]]) -> None:
        """Replace the lights: pyrender's, each with its pose (4, 4)."""
        for node in self._light_nodes:
            self.scene.remove_node(node)
        self._light_nodes = [self.scene.add(light, pose=pose) for light, pose in lights]

    def look_through(self, camera: Any) -> None:
        """Draw with this camera, which sits at the origin of the scene."""
        if self._camera_node is None:
            self._camera_node = self.scene.add(camera)
        else:
            self._camera_node.camera = camera


class OrderedScene(pyrender.Scene):  # type: ignore[misc]
    """A scene whose lights are added up in the order in which they came, whatever their places in memory are."""

    @property
    def light_nodes(self) -> list[Any]:
        """The nodes of the lights."""
        return [node for node in self._digraph.nodes if getattr(node, "light", None) is not None]


class SingleSampleRenderer(pyrender.Renderer):  # type: ignore[misc]
    """pyrender's renderer with one sample at each pixel's centre, whose buffers come back as they are.

    Its :meth:`render` returns colours (H, W, 4) uint8 and depth (H, W) float32 in [0, 1].
    """

    def _configure_main_framebuffer(self) -> None:
        # pyrender always asks for four samples, which would blend triangle ids along edges.
        def single(target: int, _samples: int, form: int, width: int, height: int) -> None:
            GL.glRenderbufferStorage(target, form, width, height)

        with patch.object(pyrender.renderer, "glRenderbufferStorageMultisample", single):
            super()._configure_main_framebuffer()

    def _read_main_framebuffer(self, _scene: Any, _flags: int) -> tuple[NDArray[np.uint8], Float]:
        width, height = self._main_fb_dims
        GL.glBindFramebuffer(GL.GL_READ_FRAMEBUFFER, self._main_fb_ms)
        depth = GL.glReadPixels(0, 0, width, height, GL.GL_DEPTH_COMPONENT, GL.GL_FLOAT)
        colour = GL.glReadPixels(0, 0, width, height, GL.GL_RGBA, GL.GL_UNSIGNED_BYTE)
        # OpenGL's first row is the bottom one.
        return (
            np.frombuffer(colour, np.uint8).reshape(height, width, 4)[::-1],
            np.frombuffer(depth, np.float32).reshape(height, width)[::-1],
        )
