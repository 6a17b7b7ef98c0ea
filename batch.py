"""What travels between the stages: plain dataclasses of NumPy arrays, first axis the face.

Frames (all right-handed, millimetres):

* **model**: the face model's own; +x the subject's left, +y up, +z out of the face.
* **camera**: OpenCV's; +x right, +y down, +z forward, the origin at the centre of projection.

Pixels have their centres at +0.5: the image spans [0, width] × [0, height].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

PERSPECTIVE = 0
SCALED_ORTHOGRAPHIC = 1

A = TypeVar("A", bound="Arrays")


@dataclass(frozen=True)
class Arrays:
    """A bundle of arrays that share their first axis."""

    def as_dict(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by field name; those that are ``None`` are left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls: type[A], arrays: Mapping[str, NDArray[np.generic]]) -> A:
        """The inverse of :meth:`as_dict`."""
        return cls(**arrays)

    def __len__(self) -> int:
        first: NDArray[np.generic] = getattr(self, fields(self)[0].name)
        return len(first)


@dataclass(frozen=True)
class Samples(Arrays):
    """What the sample stage draws for B faces, and what the denoise and compose stages make of it."""

    face: NDArray[np.int64]
    """(B,) number of the face in the dataset."""
    identity_number: NDArray[np.int64]
    """(B,) which identity it shows; images of one person share it."""
    identity: Float
    """(B, Ki) identity coefficients in σ."""
    expression: Float
    """(B, Ke) expression coefficients: σ, or weights in [0, 1] for blendshape models."""
    albedo: Float
    """(B, Ka) albedo coefficients in σ."""
    iris_colour: Float
    """(B, 3) linear RGB reflectance of the iris."""
    gaze: Float
    """(B, 2, 2) rotation of the (left, right) eyeball from straight ahead: yaw towards the subject's left, pitch
    upwards; radians."""
    pose: Float
    """(B, 6) head pose: yaw, pitch, roll in radians, then a translation x, y, z in mm (see imaging.camera)."""
    projection: NDArray[np.uint8]
    """(B,) PERSPECTIVE or SCALED_ORTHOGRAPHIC."""
    intrinsics: NDArray[np.float64]
    """(B, 3, 3) pixels. Perspective: [[f, 0, cx], [0, f, cy], [0, 0, 1]], x = f X/Z + cx. Scaled orthographic: f is in
    pixels per mm and x = f X + cx."""
    extrinsics: NDArray[np.float64]
    """(B, 4, 4) model frame to camera frame, head pose included."""
    light_sh: Float
    """(B, 9, 3) spherical-harmonic light, camera frame, RGB; order Y00, Y1-1 (y), Y10 (z), Y11 (x), Y2-2 (xy),
    Y2-1 (yz), Y20 (3z²-1), Y21 (xz), Y22 (x²-y²), real orthonormal. Already convolved with the Lambertian kernel
    (Ramamoorthi & Hanrahan 2001) and divided by π: a surface of albedo ρ and normal n shows ρ Σ sh_k Y_k(n)."""
    light_position: Float
    """(B, M, 4) of M lights, camera frame, homogeneous: (x, y, z, 1) is a point light at x, y, z mm, (x, y, z, 0) a
    light at infinity, to which x, y, z is the unit vector."""
    light_colour: Float
    """(B, M, 3) linear RGB: what each adds to a white Lambertian surface that faces it; a point light to one that is
    1000 mm away, and to others (1000 / distance)² times as much. 0 where a face has fewer than M lights."""
    light_radius: Float
    """(B, M) how soft its shadows are: of a light at infinity the angular radius, radians; of a point light the radius
    of the sphere that shines, mm."""
    background_seed: NDArray[np.uint64]
    """(B,) seed of the background, of things beside the face and of the camera's effects."""
    identity_raw: Float | None = None
    """(B, Ki) identity coefficients as drawn, where the denoise stage has made others of them."""
    expression_raw: Float | None = None
    """(B, Ke) expression coefficients as drawn, likewise."""
    identity_own: Float | None = None
    """(B, Ki) identity coefficients before parts were swapped, where the compose stage has done so; ``identity`` is
    then what comes nearest to the composed face."""
    offset: Float | None = None
    """(B, V, 3) mm, model frame: what the composed neutral face is beyond the decoded one."""
    part_source: NDArray[np.int64] | None = None
    """(B, K) identity number of the person that each part is of; the face's own where it is not swapped."""
    part_weight: Float | None = None
    """(B, K) how much of that person's part: 0 for none … 1 for all."""
    identity_residual: Float | None = None
    """(B,) mm: root mean square over the skin of the offset's length."""


@dataclass(frozen=True)
class Renders(Arrays):
    """What the render stage makes of B faces, images of H × W pixels."""

    face: NDArray[np.int64]
    """(B,) number of the face."""
    valid: NDArray[np.bool_]
    """(B,) false for a failed face, whose other arrays hold nothing: triangle_id is -1, the rest 0."""
    reason: NDArray[np.str_]
    """(B,) why a face failed; empty for the valid ones."""
    vertices: Float
    """(B, V, 3) model frame, mm."""
    image: NDArray[np.uint8]
    """(B, H, W, 3) sRGB."""
    triangle_id: NDArray[np.int32]
    """(B, H, W) triangle at the pixel's centre, -1 for the background."""
    barycentric: NDArray[np.uint16]
    """(B, H, W, 2) weights of the triangle's second and third corner, perspective-correct, times 65535; the first
    corner's weight is what is left to 1."""
    landmarks_2d: Float
    """(B, L, 2) pixels."""
    landmarks_3d: Float
    """(B, L, 3) camera frame, mm."""
    landmark_visible: NDArray[np.bool_]
    """(B, L) inside the image and not hidden."""
    occluder: NDArray[np.uint8] | None = None
    """(B, H, W) what covers the face, see :mod:`facegen.imaging.occluders`; ``None``, as is the next one, where the
    configuration has no things beside the face. Landmarks that it covers are not visible."""
    object_present: NDArray[np.bool_] | None = None
    """(B, 6) whether the face has glasses, sunglasses, a face mask, a hand, a hat, hair."""
    neutral: Float | None = None
    """(B, V, 3) mm, model frame: the face without expression, eyes straight ahead; ``None``, as are the next two, where
    the configuration asks for no attribute maps."""
    uv_albedo: NDArray[np.uint8] | None = None
    """(B, S, S, 3) sRGB reflectance in texture space, row 0 at v = 1."""
    uv_albedo_linear: NDArray[np.uint8] | None = None
    """(B, S, S, 3) likewise, of the colours at the vertices."""
    intrinsics: NDArray[np.float64] | None = None
    """(B, 3, 3) of the image, in place of those in :class:`Samples`, where crops are jittered."""
    effect_crop: Float | None = None
    """(B, 3) scale about the image's centre, then shift right and down in pixels; 1, 0, 0 where not jittered. This and
    the other effects are ``None`` where the configuration does not have them."""
    effect_exposure: Float | None = None
    """(B,) stops: the light in the image is 2 to this power times what the light arrays say."""
    effect_white_balance: Float | None = None
    """(B, 3) gains of linear red, green and blue, likewise on top of what the light arrays say."""
    effect_blur: Float | None = None
    """(B,) standard deviation of the Gaussian, pixels; 0 for none."""
    effect_motion: Float | None = None
    """(B, 2) segment that the picture moved along, right and down, pixels; 0 for none."""
    effect_noise: Float | None = None
    """(B, 2) standard deviations in linear light: of shot noise at full white, of read noise."""
    effect_jpeg: NDArray[np.uint8] | None = None
    """(B,) quality 1 … 100; 0 where not compressed."""
