"""What a packed dataset holds: every array with its shape, dtype, unit, frame and meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facegen.imaging.annotation import Annotation
from facegen.imaging.channels import CHANNELS
from facegen.imaging.occluders import OCCLUDERS
from facegen.morphable.topology import Topology

FORMAT = "facegen"
FORMAT_VERSION = 3
"""Changes when a reader of the version before would misread the arrays."""

UNITS = {"length": "mm", "angle": "rad", "image coordinate": "pixel", "coefficient": "σ", "colour": "linear RGB"}

FRAMES = {
    "model": "right-handed, mm; +x the subject's left, +y up, +z out of the face",
    "camera": "right-handed, mm; +x right, +y down, +z forward, origin at the centre of projection",
    "image": "x right, y down, pixels; the image spans [0, width] x [0, height], pixel centres at +0.5",
    "texture": "u right, v up, both in [0, 1]",
}


@dataclass(frozen=True)
class ArraySchema:
    """One array; its first axis is the face number."""

    name: str
    """Short name: of the field in :mod:`facegen.batch` and of the reader's channel."""
    path: str
    """In the Zarr hierarchy."""
    shape: tuple[str | int, ...]
    """Of one face; letters as in :meth:`DatasetSpec.sizes`."""
    dtype: str
    unit: str
    frame: str
    description: str
    large: bool = False
    """Whether each face has an inner chunk of its own. The small arrays have one per shard."""
    names: tuple[str, ...] = ()
    """What its numbers, or the places of its last axis, stand for; kept as an attribute."""

    def face_shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape of one face's part."""
        return tuple(sizes[n] if isinstance(n, str) else n for n in self.shape)

    @property
    def fill_value(self) -> float | int | bool:
        """What plain Zarr readers show for shards that are missing: not a number, and no triangle."""
        kind = np.dtype(self.dtype).kind
        return {"f": float("nan"), "i": -1, "u": 0, "b": False}[kind]


ARRAYS: tuple[ArraySchema, ...] = (
    ArraySchema("face", "face", (), "int64", "-", "-", "number of the face"),
    ArraySchema(
        "valid", "valid", (), "bool", "-", "-",
        "false for a failed face, whose rendered arrays hold nothing: triangle_id is -1, the others are 0",
    ),
    ArraySchema(
        "identity_number", "identity_number", (), "int64", "-", "-", "which identity; images of one person share it"
    ),
    ArraySchema("image", "image", ("H", "W", 3), "uint8", "sRGB", "image", "the rendered image", large=True),
    ArraySchema(
        "triangle_id", "triangle_id", ("H", "W"), "int32", "-", "image",
        "triangle at the pixel's centre, -1 for the background", large=True,
    ),
    ArraySchema(
        "barycentric", "barycentric", ("H", "W", 2), "uint16", "1/65535", "image",
        "perspective-correct weights of the triangle's second and third corner; the first has what is left to 65535",
        large=True,
    ),
    ArraySchema("vertices", "vertices", ("V", 3), "float32", "mm", "model", "the mesh", large=True),
    ArraySchema("identity", "coefficients/identity", ("Ki",), "float32", "σ", "-", "identity coefficients"),
    ArraySchema(
        "expression", "coefficients/expression", ("Ke",), "float32", "σ", "-",
        "expression coefficients; weights in [0, 1] for blendshape models",
    ),
    ArraySchema("albedo", "coefficients/albedo", ("Ka",), "float32", "σ", "-", "albedo coefficients"),
    ArraySchema(
        "iris_colour", "coefficients/iris_colour", (3,), "float32", "linear RGB", "-", "reflectance of the iris"
    ),
    ArraySchema(
        "gaze", "coefficients/gaze", (2, 2), "float32", "rad", "model",
        "turn of the (left, right) eyeball from straight ahead: yaw to the subject's left, pitch upwards",
    ),
    ArraySchema(
        "pose", "camera/pose", (6,), "float32", "rad, mm", "model",
        "head pose: yaw to the subject's left, pitch (chin up), roll (crown to the subject's right); "
        "then a translation x, y, z",
    ),
    ArraySchema(
        "projection", "camera/projection", (), "uint8", "-", "-", "0 is perspective, 1 is scaled orthographic"
    ),
    ArraySchema(
        "intrinsics", "camera/intrinsics", (3, 3), "float64", "pixel", "camera to image",
        "[[f, 0, cx], [0, f, cy], [0, 0, 1]]; perspective x = f X/Z + cx; scaled orthographic x = f X + cx with f in "
        "pixels per mm",
    ),
    ArraySchema(
        "extrinsics", "camera/extrinsics", (4, 4), "float64", "mm", "model to camera", "head pose included"
    ),
    ArraySchema(
        "light_sh", "light/sh", (9, 3), "float32", "linear RGB", "camera",
        "spherical-harmonic light: Y00, y, z, x, xy, yz, 3z²-1, xz, x²-y², real orthonormal, convolved with the "
        "Lambertian kernel and divided by π",
    ),
    ArraySchema(
        "light_position", "light/position", ("M", 4), "float32", "mm", "camera",
        "lights, homogeneous: x, y, z, 1 is a point light there; x, y, z, 0 one at infinity, towards that unit vector",
    ),
    ArraySchema(
        "light_colour", "light/colour", ("M", 3), "float32", "linear RGB", "-",
        "what each light adds to a white Lambertian surface that faces it; a point light at 1000 mm, and elsewhere "
        "(1000 / distance)² times that; 0 for a light that the face does not have",
    ),
    ArraySchema(
        "light_radius", "light/radius", ("M",), "float32", "rad or mm", "-",
        "how soft its shadows are: angular radius of a light at infinity (rad), radius of a point light's sphere (mm)",
    ),
    ArraySchema(
        "background_seed", "background_seed", (), "uint64", "-", "-",
        "seed of the background, of things beside the face and of the camera's effects",
    ),
    ArraySchema(
        "landmarks_2d", "landmarks/points_2d", ("L", 2), "float32", "pixel", "image", "projected landmarks, seen or not"
    ),
    ArraySchema("landmarks_3d", "landmarks/points_3d", ("L", 3), "float32", "mm", "camera", "the landmark vertices"),
    ArraySchema(
        "landmark_visible", "landmarks/visible", ("L",), "bool", "-", "image",
        "whether the landmark is inside the image and not hidden",
    ),
)  # fmt: skip
"""The arrays of every dataset."""

RAW_ARRAYS: dict[str, ArraySchema] = {
    "identity": ArraySchema(
        "identity_raw", "raw/identity", ("Ki",), "float32", "σ", "-", "identity coefficients as drawn, not yet denoised"
    ),
    "expression": ArraySchema(
        "expression_raw", "raw/expression", ("Ke",), "float32", "σ", "-",
        "expression coefficients as drawn, not yet denoised; weights in [0, 1] for blendshape models",
    ),
}  # fmt: skip
"""By group of coefficients: stored where the run denoises the group."""

COMPOSITION_ARRAYS: tuple[ArraySchema, ...] = (
    ArraySchema(
        "part_source", "composition/part_source", ("K",), "int64", "-", "-",
        "identity number of the person that each part is of, the face's own where it is not swapped; names of the "
        "parts in the attribute parts",
    ),
    ArraySchema(
        "part_weight", "composition/part_weight", ("K",), "float32", "-", "-",
        "how much of that person's part: 0 where it is not swapped, 1 for all of it, less where the limit left only a "
        "share",
    ),
    ArraySchema(
        "identity_own", "composition/identity_own", ("Ki",), "float32", "σ", "-",
        "identity coefficients before parts were swapped",
    ),
    ArraySchema(
        "identity_residual", "composition/identity_residual", (), "float32", "mm", "model",
        "what the identity coefficients leave of the composed neutral face: root mean square over the vertices of the "
        "skin",
    ),
)  # fmt: skip
"""Stored where the run composes faces."""

EFFECT_ARRAYS: dict[str, ArraySchema] = {
    "crop": ArraySchema(
        "effect_crop", "effects/crop", (3,), "float32", "-, pixel", "image",
        "scale about the image's centre, then shift to the right and down; camera/intrinsics have it in them",
    ),
    "exposure": ArraySchema(
        "effect_exposure", "effects/exposure", (), "float32", "stop", "-",
        "the light in the image is 2 to this power times what the arrays of light say",
    ),
    "white_balance": ArraySchema(
        "effect_white_balance", "effects/white_balance", (3,), "float32", "-", "-",
        "gains of linear red, green and blue, on top of what the arrays of light say",
    ),
    "blur": ArraySchema(
        "effect_blur", "effects/blur", (), "float32", "pixel", "image", "standard deviation of the Gaussian; 0 for none"
    ),
    "motion": ArraySchema(
        "effect_motion", "effects/motion", (2,), "float32", "pixel", "image",
        "segment that the picture was averaged along, to the right and down, around each pixel; 0 for none",
    ),
    "noise": ArraySchema(
        "effect_noise", "effects/noise", (2,), "float32", "linear light", "-",
        "standard deviations of shot noise at full white and of read noise: the variance is read² + shot² · light",
    ),
    "jpeg": ArraySchema(
        "effect_jpeg", "effects/jpeg", (), "uint8", "-", "-", "quality 1 … 100; 0 where it is not compressed"
    ),
}  # fmt: skip
"""By effect of the camera: stored where the run has it."""

MAP_ARRAYS: tuple[ArraySchema, ...] = (
    ArraySchema(
        "neutral", "maps/neutral", ("V", 3), "float32", "mm", "model",
        "the mesh without expression, the eyes straight ahead", large=True,
    ),
    ArraySchema(
        "uv_albedo", "maps/uv_albedo", ("S", "S", 3), "uint8", "sRGB", "texture",
        "reflectance, iris included; 0 where the texture shows no mesh", large=True,
    ),
    ArraySchema(
        "uv_albedo_linear", "maps/uv_albedo_linear", ("S", "S", 3), "uint8", "sRGB", "texture",
        "reflectance as a model with one colour a vertex knows it, without painted detail and iris", large=True,
    ),
)  # fmt: skip
"""Stored where the run makes attribute maps."""

OBJECT_ARRAYS: tuple[ArraySchema, ...] = (
    ArraySchema(
        "occluder", "occluder", ("H", "W"), "uint8", "-", "image",
        "number of the thing that covers the pixel's centre, names in the attribute names; 0 where the face or what is "
        "behind it is seen, be it through a clear lens",
        large=True, names=OCCLUDERS,
    ),
    ArraySchema(
        "object_present", "objects/present", (len(OCCLUDERS) - 1,), "bool", "-", "-",
        "whether the face has a thing of each kind, in the image or out of it; names in the attribute names",
        names=OCCLUDERS[1:],
    ),
)  # fmt: skip
"""Stored where faces may have things before or on them."""

PARTS = "K"
"""The letter of arrays that have the names of the parts in the attribute ``parts``."""

OPTIONAL_ARRAYS: tuple[ArraySchema, ...] = tuple(
    ArraySchema(
        name, f"channels/{name}", ("H", "W", *channel.shape), channel.dtype, channel.unit, channel.frame,
        channel.description, large=True,
    )
    for name, channel in CHANNELS.items()
)  # fmt: skip
"""Those stored on demand; the reader rebuilds the others."""


@dataclass(frozen=True)
class ModelArraySchema:
    """One array that all faces share."""

    name: str
    """Field of :class:`~facegen.morphable.topology.Topology`; the array is ``model/<name>``."""
    shape: tuple[str | int, ...]
    dtype: str
    unit: str
    description: str


MODEL_ARRAYS: tuple[ModelArraySchema, ...] = (
    ModelArraySchema("triangles", ("T", 3), "int32", "-", "vertices of a triangle, counter-clockwise from outside"),
    ModelArraySchema("triangle_region", ("T",), "uint8", "-", "region number; names in the attribute region_names"),
    ModelArraySchema("uv", ("U", 2), "float32", "-", "texture coordinates, v upwards"),
    ModelArraySchema("uv_triangles", ("T", 3), "int32", "-", "rows of uv for the corners of a triangle"),
    ModelArraySchema("landmarks", ("L",), "int32", "-", "vertices of the landmarks"),
    ModelArraySchema("reference", ("V", 3), "float32", "mm", "the mean face, model frame"),
)

ANNOTATION_ARRAYS: tuple[ModelArraySchema, ...] = (
    ModelArraySchema(
        "layers", ("A", "A"), "uint8", "-", "layer of each texel, row 0 at v = 1; names in the attribute layer_names"
    ),
    ModelArraySchema("dense_triangle", ("D",), "int32", "-", "triangles of the dense landmarks"),
    ModelArraySchema("dense_weights", ("D", 3), "float32", "-", "weights of the three corners of dense_triangle"),
)
"""As :data:`MODEL_ARRAYS`, fields of :class:`~facegen.imaging.annotation.Annotation`."""


@dataclass(frozen=True)
class DatasetSpec:
    """All that the shards of one dataset have in common."""

    faces: int
    """Number of faces N; faces are numbered 0 … N-1."""
    shard_size: int
    """Faces per shard; the last shard may have fewer."""
    height: int
    width: int
    identity: int
    """Number of identity coefficients; ``expression`` and ``albedo`` likewise."""
    expression: int
    albedo: int
    topology: Topology
    model_name: str
    model_sha256: str
    seed: int
    fingerprint: str
    """Of the resolved configuration: shards of another fingerprint do not belong here."""
    channels: tuple[str, ...] = ()
    """Channels stored on demand."""
    denoisers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Group of coefficients that is denoised → what its denoiser is: method, sha256 of its weights, strength."""
    annotate: Callable[[], Annotation] = Annotation
    """Makes the labels of the model's surface; called when the dataset is created."""
    map_size: int = 0
    """Texels a side of the attribute maps; 0 where the run makes none."""
    composer: Mapping[str, Any] = field(default_factory=dict)
    """What swaps parts of faces, if anything does: sha256 of its weights, parts and their chances, how partners and
    weights are drawn."""
    effects: tuple[str, ...] = ()
    """Effects of the camera that faces may have."""
    objects: bool = False
    """Whether faces may have things before or on them."""
    lights: int = 1
    """Number of lights beside the spherical harmonics, of every face."""
    compression_level: int = 3

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.faces // self.shard_size)

    def faces_of(self, shard: int) -> range:
        """Numbers of the faces in a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.faces))

    @property
    def sizes(self) -> dict[str, int]:
        """What the letters in the shapes stand for."""
        return {
            "H": self.height,
            "W": self.width,
            "V": self.topology.vertex_count,
            "T": len(self.topology.triangles),
            "U": len(self.topology.uv),
            "L": len(self.topology.landmarks),
            "Ki": self.identity,
            "Ke": self.expression,
            "Ka": self.albedo,
            "M": self.lights,
            "S": self.map_size,
            PARTS: len(self.parts),
        }

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that are swapped; none where nothing is composed."""
        return tuple(self.composer.get("parts", ()))

    @property
    def denoised(self) -> str:
        """What is denoised by what, in words; empty where nothing is."""
        return denoised_text(self.denoisers)

    @property
    def composed(self) -> str:
        """What is composed by what, in words; empty where nothing is."""
        return composed_text(self.composer) if self.composer else ""

    @property
    def arrays(self) -> tuple[ArraySchema, ...]:
        """The arrays that are stored, demanded channels last."""
        raw = tuple(array for group, array in RAW_ARRAYS.items() if group in self.denoisers)
        composition = COMPOSITION_ARRAYS if self.composer else ()
        effects = tuple(EFFECT_ARRAYS[name] for name in self.effects)
        maps = MAP_ARRAYS if self.map_size else ()
        stored = tuple(array for array in OPTIONAL_ARRAYS if array.name in self.channels)
        objects = OBJECT_ARRAYS if self.objects else ()
        return ARRAYS + raw + composition + objects + effects + maps + stored


def denoised_text(denoisers: Mapping[str, Mapping[str, Any]]) -> str:
    """:attr:`DatasetSpec.denoisers` in words."""
    return "; ".join(
        f"{group}, {about['method']}, weights {about['weights_sha256']}, strength {about['strength']:g}"
        for group, about in denoisers.items()
    )


def composed_text(composer: Mapping[str, Any]) -> str:
    """:attr:`DatasetSpec.composer` in words."""
    parts = ", ".join(f"{name} {chance:g}" for name, chance in composer["parts"].items())
    low, high = composer["alpha"]
    share = f"{low:g}" if low == high else f"{low:g} … {high:g}"
    partner = "each of a person of its own" if composer["partners"] == "each" else "all of one person"
    limit = "without limit" if composer["limit"] is None else f"at most {composer['limit']:g} mm from the model's faces"
    fitted = f"{'' if composer['fit'] else 'not '}fitted, {'' if composer['smooth'] else 'not '}smoothed, {limit}"
    return (
        f"parts swapped with chance {parts}, {partner}, weight {share}, by {composer['transfer']}, {fitted}, "
        f"weights {composer['weights_sha256']}"
    )
