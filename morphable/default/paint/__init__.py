"""The default face's paint: albedo in texture space, as optical density."""

from facegen.morphable.default.paint.build import Paint, paint

__all__ = ["Paint", "paint"]
