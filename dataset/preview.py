"""Contact sheets: faces and their channels side by side in one picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facegen.errors import DatasetError, UnknownChannelError
from facegen.storage import write_atomically

if TYPE_CHECKING:
    from facegen.dataset.reader import FaceDataset

Picture = NDArray[np.uint8]

STRIP = ("image", "landmarks", "normal", "depth", "segmentation", "uv", "pncc")
"""What is shown of each face unless told otherwise."""

_PAPER, _INK, _EMPTY = (250, 250, 248), (90, 90, 92), (24, 25, 28)
_MARGIN, _GAP, _STRIP_GAP, _CAPTION = 20, 4, 16, 18

# Colours of the regions 1, 2, …: far apart in hue and lightness, in an order that keeps neighbours apart.
_PALETTE = np.array(
    [
        (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
        (148, 103, 189), (140, 86, 75), (127, 201, 127), (255, 152, 150), (23, 190, 207), (188, 189, 34),
        (227, 119, 194), (57, 106, 177), (197, 176, 213), (219, 219, 141), (158, 218, 229), (196, 156, 148),
        (160, 160, 160), (250, 250, 250), (90, 60, 160), (120, 220, 250), (250, 180, 60), (60, 120, 60), (200, 60, 90),
    ],
    np.uint8,
)  # fmt: skip

# Turbo (Mikhailov 2019) as polynomials of degree 5 in [0, 1], one row per power, columns RGB.
_TURBO = np.array(
    [
        (0.13572138, 0.09140261, 0.10667330),
        (4.61539260, 2.19418839, 12.64194608),
        (-42.66032258, 4.84296658, -60.58204836),
        (132.13108234, -14.18503333, 110.36276771),
        (-152.94239396, 4.27729857, -89.90310912),
        (59.28637943, 2.82956604, 27.34824973),
    ]
)


def contact_sheet(
    dataset: FaceDataset,
    faces: Sequence[int],
    channels: Sequence[str] = STRIP,
    *,
    columns: int = 1,
    cell: int | None = None,
) -> Image.Image:
    """A picture of faces, each a strip of its channels with small captions.

    Args:
        dataset: any; its own selection of channels does not matter.
        faces: face numbers.
        channels: of ``image``, ``landmarks`` (drawn over the image: filled where visible), ``mask``, ``depth`` (near is
            warm, scaled per face), ``normal``, ``segmentation``, ``layers``, ``uv``, ``pncc``, ``dense`` (the dense
            landmarks that are visible), ``occluder``, ``amodal_mask``, and of maps in texture space ``uv_position``,
            ``uv_identity``, ``uv_expression`` (mid-grey is none, 10 mm the full range), ``uv_albedo``,
            ``uv_albedo_linear`` and ``uv_texture``. ``("image",)`` with many columns gives a plain sheet.
        columns: strips side by side.
        cell: width of a cell in pixels; ``None`` takes the image's, at most 256.

    Returns:
        An RGB picture.

    Raises:
        DatasetError: for an unknown channel, a face that is not there, or a damaged shard.
    """
    unknown = [name for name in channels if name not in _SHOWN]
    if unknown:
        raise UnknownChannelError(f"a contact sheet cannot show '{unknown[0]}'; known: {', '.join(_SHOWN)}")
    size = dataset.attributes["image_size"]
    width = cell or min(int(size["width"]), 256)
    height = round(width * int(size["height"]) / int(size["width"]))
    columns = max(1, min(columns, len(faces)))
    strip = len(channels) * (width + _GAP) - _GAP
    gap = _STRIP_GAP if len(channels) > 1 else _GAP
    rows = -(-len(faces) // columns)
    sheet = Image.new(
        "RGB",
        (2 * _MARGIN + columns * (strip + gap) - gap, 2 * _MARGIN + rows * (height + _CAPTION + _GAP) - _GAP),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for place, face in enumerate(faces):
        row, column = divmod(place, columns)
        left = _MARGIN + column * (strip + gap)
        top = _MARGIN + row * (height + _CAPTION + _GAP)
        values = _read(dataset, face, channels)
        for i, name in enumerate(channels):
            x = left + i * (width + _GAP)
            sheet.paste(_SHOWN[name](values, (width, height)), (x, top))
            caption = f"face {face}" if i == 0 else name
            draw.text((x + 1, top + height + 3), caption, fill=_INK, font=font)
    return sheet


def write_preview(path: Path, out: Path, count: int, channels: Sequence[str]) -> None:
    """Draw a contact sheet of faces spread evenly over a dataset, wider than high.

    Args:
        path: a run folder or the ``dataset.zarr`` in it; unfinished ones show what is there.
        out: PNG file.
        count: faces to show; all when there are fewer.
        channels: beside each image, as for :func:`contact_sheet`.

    Raises:
        DatasetError: for an unknown channel, or a dataset that is absent, empty or damaged.
        StorageError: when the disk refuses.
    """
    from facegen.dataset.reader import FaceDataset

    dataset = FaceDataset(path, channels=("image",), allow_incomplete=True)
    if not len(dataset):
        raise DatasetError(f"{path}: no face is finished yet; nothing to show")
    places = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    shown = ["image", *(name for name in channels if name != "image")]
    columns = max(1, round((len(places) * 1.6 / len(shown)) ** 0.5))
    sheet = contact_sheet(dataset, [int(dataset.faces[place]) for place in places], shown, columns=columns)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomically(out, buffer.getvalue())


def _read(dataset: FaceDataset, face: int, channels: Sequence[str]) -> dict[str, Any]:
    needed = {"amodal_mask"}
    for name in channels:
        needed |= _NEEDS.get(name, {name})
    return dataset.read(dataset.position(face), sorted(needed))


def _fit(picture: Picture, size: tuple[int, int], *, blend: bool = True) -> Image.Image:
    image = Image.fromarray(picture)
    return (
        image if image.size == size else image.resize(size, Image.Resampling.BOX if blend else Image.Resampling.NEAREST)
    )


def _colours(values: NDArray[np.floating], mask: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    """Values in [0, 1], (H, W, 3), where ``mask``."""
    picture = (values.clip(0, 1) * 255).round().astype(np.uint8)
    return _fit(np.where(mask[:, :, None], picture, np.array(_EMPTY, np.uint8)), size)


def _image(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(values["image"])
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _landmarks(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
    # Drawn at four times the size and reduced: Pillow's circles have hard edges.
    fine = (size[0] * 4, size[1] * 4)
    image = _image(values, size).resize(fine, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    height, width = values["image"].shape[:2]
    radius = max(fine[0] / 110, 4.0)
    for (x, y), visible in zip(values["landmarks_2d"].tolist(), values["landmark_visible"].tolist(), strict=True):
        centre = (x / width * fine[0], y / height * fine[1])
        if visible:
            draw.circle(centre, radius, fill=(60, 230, 120), outline=(10, 60, 30), width=2)
        else:
            draw.circle(centre, radius, outline=(255, 90, 80), width=3)
    return image.resize(size, Image.Resampling.LANCZOS)


def _mask(name: str) -> Callable[[dict[str, Any], tuple[int, int]], Image.Image]:
    return lambda values, size: _colours(np.ones((*values[name].shape, 3)), values[name], size)


def _depth(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
    depth, mask = values["depth"].astype(np.float64), values["amodal_mask"]
    inside = depth[mask]
    low, high = (inside.min(), inside.max()) if inside.size else (0.0, 1.0)
    near = np.where(mask, (high - depth) / max(high - low, 1e-6), 0.0)
    powers = np.stack([near**i for i in range(len(_TURBO))], axis=-1)
    return _colours(powers @ _TURBO, mask, size)


def _normal(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
    # The camera's y points down and its z away: turned so that up is green and towards the viewer blue.
    return _colours((values["normal"] * (1, -1, -1) + 1) / 2, values["amodal_mask"], size)


def _numbers(name: str) -> Callable[[dict[str, Any], tuple[int, int]], Image.Image]:
    """A colour for each number but 0."""

    def picture(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
        number = values[name].astype(np.int64)
        colours = np.where(number[:, :, None] > 0, _PALETTE[(number - 1) % len(_PALETTE)], np.array(_EMPTY, np.uint8))
        return _fit(colours, size, blend=False)

    return picture


def _dense(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
    fine = (size[0] * 4, size[1] * 4)
    image = _image(values, size).resize(fine, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    height, width = values["image"].shape[:2]
    for x, y in values["dense_2d"][values["dense_visible"]].tolist():
        draw.circle((x / width * fine[0], y / height * fine[1]), max(fine[0] / 260, 2.0), fill=(60, 230, 120))
    return image.resize(size, Image.Resampling.LANCZOS)


def _uv_position(name: str) -> Callable[[dict[str, Any], tuple[int, int]], Image.Image]:
    def picture(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
        position = values[name]
        inside = position.any(axis=2)
        low, high = (position[inside].min(), position[inside].max()) if inside.any() else (0.0, 1.0)
        return _colours((position - low) / max(high - low, 1e-6), inside, size)

    return picture


def _uv_expression(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
    moved = values["uv_expression"]
    return _colours(0.5 + moved / 20, np.ones(moved.shape[:2], np.bool_), size)


def _uv_colours(name: str) -> Callable[[dict[str, Any], tuple[int, int]], Image.Image]:
    return lambda values, size: _fit(values[name], size)


def _uv(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
    uv = values["uv"]
    return _colours(np.concatenate([uv, np.full_like(uv[:, :, :1], 0.35)], axis=-1), values["amodal_mask"], size)


def _pncc(values: dict[str, Any], size: tuple[int, int]) -> Image.Image:
    return _colours(values["pncc"], values["amodal_mask"], size)


_SHOWN: dict[str, Callable[[dict[str, Any], tuple[int, int]], Image.Image]] = {
    "image": _image,
    "landmarks": _landmarks,
    "mask": _mask("mask"),
    "amodal_mask": _mask("amodal_mask"),
    "occluder": _numbers("occluder"),
    "depth": _depth,
    "normal": _normal,
    "segmentation": _numbers("segmentation"),
    "layers": _numbers("layers"),
    "dense": _dense,
    "uv": _uv,
    "pncc": _pncc,
    "uv_position": _uv_position("uv_position"),
    "uv_identity": _uv_position("uv_identity"),
    "uv_expression": _uv_expression,
    "uv_albedo": _uv_colours("uv_albedo"),
    "uv_albedo_linear": _uv_colours("uv_albedo_linear"),
    "uv_texture": _uv_colours("uv_texture"),
}

_NEEDS = {
    "landmarks": {"image", "landmarks_2d", "landmark_visible"},
    "dense": {"image", "dense_2d", "dense_visible"},
}
"""Channels of the dataset that are read for what is shown, where they have other names."""
