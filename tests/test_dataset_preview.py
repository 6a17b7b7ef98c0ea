"""Contact sheets show the faces they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from facegen.dataset import FaceDataset
from facegen.dataset.preview import STRIP, contact_sheet
from facegen.errors import DatasetError
from facegen.tests import synthetic


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    spec = synthetic.specification(synthetic.sphere(), 6, 4)
    return FaceDataset(synthetic.write_run(tmp_path_factory.mktemp("run"), spec, failed=(2,)))


def test_a_plain_sheet_holds_the_images_themselves(dataset: FaceDataset) -> None:
    sheet = np.asarray(contact_sheet(dataset, [0, 1, 3, 4, 5], ("image",), columns=3))
    for place, face in enumerate([0, 1, 3, 4, 5]):
        row, column = divmod(place, 3)
        top, left = 20 + row * (32 + 18 + 4), 20 + column * (32 + 4)
        expected = dataset[dataset.position(face)]["image"].numpy()
        np.testing.assert_array_equal(sheet[top : top + 32, left : left + 32], expected)
    assert sheet.shape == (2 * 20 + 2 * (32 + 18 + 4) - 4, 2 * 20 + 3 * 36 - 4, 3)


@pytest.mark.parametrize("cell", [None, 16, 64])
def test_strips_show_every_channel(dataset: FaceDataset, cell: int | None) -> None:
    names = (*STRIP, "mask")
    size = cell or 32
    sheet = np.asarray(contact_sheet(dataset, [0, 1], names, columns=2, cell=cell))
    strip = len(names) * (size + 4) - 4
    assert sheet.shape == (40 + size + 18, 40 + 2 * strip + 16, 3)
    for start in (20, 20 + strip + 16):
        for i in range(len(names)):
            left = start + i * (size + 4)
            assert sheet[20 : 20 + size, left : left + size].std() > 5


def test_normals_face_the_viewer_in_blue(dataset: FaceDataset) -> None:
    sheet = np.asarray(contact_sheet(dataset, [0], ("normal",)))
    red, green, blue = sheet[20 + 16, 20 + 16].astype(int)
    assert blue > max(red, green)


def test_what_cannot_be_shown_is_refused(dataset: FaceDataset) -> None:
    with pytest.raises(DatasetError, match="cannot show 'vertices'"):
        contact_sheet(dataset, [0], ("image", "vertices"))
    with pytest.raises(DatasetError, match="face 2 failed"):
        contact_sheet(dataset, [2])
    with pytest.raises(DatasetError, match="face 7 is not in it"):
        contact_sheet(dataset, [7])
