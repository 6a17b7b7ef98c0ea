"""Labels that a dataset does not store because they follow from what it stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from facegen.dataset.layout import Layout
from facegen.imaging.annotation import Annotation
from facegen.imaging.atlas import Atlas
from facegen.imaging.channels import CHANNELS, rebuild
from facegen.imaging.maps import MAPS, attribute_maps
from facegen.imaging.points import POINT_LABELS, point_labels
from facegen.imaging.seen import Pictured
from facegen.morphable.topology import Topology

_MESH = ("vertices", "triangle_id", "barycentric", "intrinsics", "extrinsics", "projection")

_DEFAULT_MAP_SIZE = 256


class Derivation:
    """Makes the labels of one dataset's faces.

    Args:
        layout: of the dataset; its model is read when it is needed.
        map_size: texels a side of attribute maps; ``None`` for that of the stored ones, 256 where there are none.
    """

    def __init__(self, layout: Layout, map_size: int | None = None) -> None:
        self._layout = layout
        self.map_size: int = map_size or int(layout.attributes.get("map_size", _DEFAULT_MAP_SIZE))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all labels that this dataset's faces have."""
        neutral = "neutral" in self._layout.arrays
        points = [name for name in POINT_LABELS if name == "gaze_direction" or self._has_dense]
        maps = [name for name in MAPS if neutral or name not in ("uv_identity", "uv_expression")]
        return (*CHANNELS, *points, *maps)

    @cached_property
    def topology(self) -> Topology:
        """The mesh that all faces share."""
        return self._layout.topology()

    @cached_property
    def annotation(self) -> Annotation:
        """What is known of its surface."""
        return self._layout.annotation()

    @cached_property
    def atlas(self) -> Atlas:
        """Where its triangles lie in maps."""
        return Atlas(self.topology, self.map_size)

    def needs(self, names: Iterable[str]) -> tuple[str, ...]:
        """Stored arrays that the named labels follow from."""
        needed = dict.fromkeys((*_MESH, "occluder") if "occluder" in self._layout.arrays else _MESH)
        for name in names:
            if name in POINT_LABELS:
                needed |= dict.fromkeys(("gaze", "landmarks_2d"))
            if name in ("uv_identity", "uv_expression"):
                needed["neutral"] = None
            if name in ("uv_texture", "uv_visible"):
                needed["image"] = None
        return tuple(needed)

    def of(self, names: Iterable[str], stored: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """The named labels of a face.

        Args:
            names: of :attr:`names`.
            stored: its arrays that :meth:`needs` tells.

        Raises:
            DatasetError: the model group is damaged.
            ValueError: the face is damaged.
        """
        wanted = list(names)
        picture = Pictured.of(self.topology, stored)
        channels = [name for name in wanted if name in CHANNELS]
        points = [name for name in wanted if name in POINT_LABELS]
        maps = [name for name in wanted if name in MAPS]
        layers = self.annotation.layers if "layers" in channels else None
        # First, because it refuses damaged triangle numbers.
        result: dict[str, NDArray[Any]] = dict(
            rebuild(
                channels,
                self.topology,
                picture.mesh,
                picture.triangle_id,
                picture.barycentric,
                layers,
                picture.occluder,
            )
        )
        if points:
            result |= point_labels(points, self.topology, self.annotation.dense, picture, stored)
        if maps:
            result |= attribute_maps(maps, self.topology, self.atlas, picture, stored)
        return result

    @cached_property
    def _has_dense(self) -> bool:
        return len(self.annotation.dense) > 0
