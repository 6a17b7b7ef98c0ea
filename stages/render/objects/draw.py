"""Which things a face has: a function of a seed, the face and its colours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from facegen.errors import RenderError
from facegen.morphable.model import MorphableModel
from facegen.randomness import generator
from facegen.stages.render.objects.config import ObjectsConfig
from facegen.stages.render.objects.crown import require_cranium
from facegen.stages.render.objects.face_mask import make_face_mask
from facegen.stages.render.objects.glasses import make_glasses
from facegen.stages.render.objects.hair import make_hair
from facegen.stages.render.objects.hand import make_hand
from facegen.stages.render.objects.hat import make_hat
from facegen.stages.render.objects.head import HeadFinder
from facegen.stages.render.objects.thing import Thing

Float = NDArray[np.float32]

_BARE = (1, 2, 14, 15, 29, 30, 31, 35)
"""Landmarks whose skin bears no hair: cheeks and nose."""

_SCALP = "scalp"
"""Region that is painted as hair, where a model has it."""


class Things:
    """Draws the things of one configuration for faces of one model.

    Each kind has a stream of its own: switching one on changes no other.

    Raises:
        ConfigurationError: the model lacks what things are fitted to.
    """

    def __init__(self, config: ObjectsConfig, model: MorphableModel) -> None:
        self._config = config
        self._finder = HeadFinder(model)
        if config.hat is not None or config.hair is not None:
            require_cranium(self._finder.of(model.mean), model.name)
        topology = model.topology
        self._bare = topology.landmarks[list(_BARE)]
        scalp = topology.region_names.index(_SCALP) if _SCALP in topology.region_names else -1
        self._scalp = np.unique(topology.triangles[topology.triangle_region == scalp])

    def draw(self, seed: int, vertices: Float, colours: Callable[[], Float]) -> list[Thing]:
        """The things of a face.

        Args:
            seed: of the face.
            vertices: (V, 3) model frame, mm.
            colours: makes its colours (V, 3), linear RGB; asked only for things that take after the face.

        Raises:
            RenderError: a thing has no finite shape on this face.
        """
        config, head = self._config, self._finder.of(vertices)
        things: dict[str, list[Thing]] = {}
        rng = {name: generator(seed, "render", f"object-{name}", 0) for name in type(config).model_fields}
        drawn = {name: rng[name].random() for name in rng}

        def has(name: str) -> bool:
            section = getattr(config, name)
            return section is not None and drawn[name] < section.probability

        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if has("hat"):
                assert config.hat is not None
                things["hat"] = make_hat(head, config.hat, rng["hat"])
            if has("hair"):
                assert config.hair is not None
                colour = np.median(colours()[self._scalp], axis=0).astype(np.float32) if len(self._scalp) else None
                things["hair"] = make_hair(head, config.hair, rng["hair"], colour, things.get("hat", ()))
            if has("glasses"):
                assert config.glasses is not None
                things["glasses"] = make_glasses(head, config.glasses, rng["glasses"])
            if has("face_mask"):
                assert config.face_mask is not None
                things["face_mask"] = make_face_mask(head, config.face_mask, rng["face_mask"])
            if has("hand"):
                assert config.hand is not None
                skin = np.median(colours()[self._bare], axis=0).astype(np.float32)
                things["hand"] = make_hand(head, config.hand, rng["hand"], skin)
        for name, parts in things.items():
            if not all(np.isfinite(part.vertices).all() for part in parts):
                raise RenderError(f"the {name.replace('_', ' ')} has vertices that are not finite")
        return [part for parts in things.values() for part in parts]
