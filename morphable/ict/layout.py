"""The layout of the ICT-FaceKit topology: which vertices and polygons are what.

The published OBJ files carry no groups; the ranges stand in the README of the source
(github.com/ICT-VGL/ICT-FaceKit, "Vertex ordering"). Ranges are ``(start, stop)``.
"""

from __future__ import annotations

VERTEX_COUNT = 26719
POLYGON_COUNT = 26384
UV_COUNT = 28911

POLYGON_RANGES: dict[str, tuple[int, int]] = {
    "face": (0, 9230),
    "head_and_neck": (9230, 11144),
    "mouth_socket": (11144, 13226),
    "eye_socket_left": (13226, 13630),
    "eye_socket_right": (13630, 14034),
    "gums_and_tongue": (14034, 17006),
    "teeth": (17006, 21496),
    "eyeball_left": (21496, 23094),
    "eyeball_right": (23094, 24692),
    "lacrimal_fluid_left": (24692, 24855),
    "lacrimal_fluid_right": (24855, 25018),
    "eye_blend_left": (25018, 25033),
    "eye_blend_right": (25033, 25048),
    "eye_occlusion_left": (25048, 25176),
    "eye_occlusion_right": (25176, 25304),
    "eyelashes_left": (25304, 25844),
    "eyelashes_right": (25844, 26384),
}
"""Polygons of each part; together they cover the mesh."""

NARROW_FACE = (0, 6560)
"""Polygons of the face without its upper forehead, ears and neck."""

SCLERA = {"left": (21496, 22296), "right": (23094, 23894)}
"""Polygons of the eyes' outer surfaces, sclera and cornea in one."""

IRIS_RIM = {"left": (22561, 22581), "right": (24131, 24151)}
"""Vertices of the iris meshes on the iris' outer rim: the outermost ring that the source's ``PupilDilate`` leaves."""
