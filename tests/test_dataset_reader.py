"""FaceDataset: what comes out is what pack was given, whatever reads it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.dataset import FaceDataset
from facegen.dataset.reader import Array
from facegen.errors import DatasetError
from facegen.imaging.channels import CHANNELS
from facegen.morphable.topology import Topology
from facegen.stages.pack.schema import ARRAYS
from facegen.tests import synthetic

FACES, SHARD, FAILED = 11, 4, (2, 5)
STORED = tuple(array.name for array in ARRAYS)


@pytest.fixture(scope="module")
def topology() -> Topology:
    return synthetic.sphere()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, topology: Topology) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return synthetic.write_run(folder, synthetic.specification(topology, FACES, SHARD), FAILED)


@pytest.fixture(scope="module")
def expected(topology: Topology) -> dict[str, Array]:
    """Every channel of every face, first axis the face number."""
    spec = synthetic.specification(topology, FACES, SHARD, channels=tuple(CHANNELS))
    samples, renders = synthetic.batch(topology, np.arange(FACES), failed=FAILED)
    rebuilt = [synthetic.channels_of(spec, samples, renders, face) for face in range(FACES)]
    channels = {name: np.stack([face[name] for face in rebuilt]) for name in CHANNELS}
    return {**samples.as_dict(), **renders.as_dict(), **channels}


def test_every_channel_of_every_valid_face(run: Path, expected: dict[str, Array]) -> None:
    dataset = FaceDataset(run, [*STORED, *CHANNELS])
    # What follows from no landmarks and no neutral faces.
    assert set(dataset.available) - set(dataset.channels) == {
        "gaze_direction", "uv_position", "uv_texture", "uv_visible"
    }  # fmt: skip
    np.testing.assert_array_equal(dataset.faces, [face for face in range(FACES) if face not in FAILED])
    assert len(dataset) == FACES - len(FAILED)
    assert dataset.failed == dict.fromkeys(FAILED, "made to fail")
    for i, face in enumerate(dataset.faces):
        item = dataset[i]
        assert list(item) == [*STORED, *CHANNELS]
        for name, value in item.items():
            assert value.numpy().dtype == expected[name].dtype
            np.testing.assert_array_equal(value.numpy(), expected[name][face], strict=True)


def test_stored_channels_equal_rebuilt_ones(tmp_path: Path, topology: Topology, run: Path) -> None:
    stored = synthetic.write_run(tmp_path, synthetic.specification(topology, FACES, SHARD, channels=tuple(CHANNELS)))
    one, other = FaceDataset(run, CHANNELS), FaceDataset(stored, CHANNELS)
    for face in one.faces.tolist():
        read, rebuilt = other[other.position(face)], one[one.position(face)]
        for name in CHANNELS:
            assert torch.equal(read[name], rebuilt[name])


def test_the_run_folder_and_the_zarr_are_the_same_dataset(run: Path) -> None:
    one, other = FaceDataset(run), FaceDataset(str(run / "dataset.zarr"))
    assert torch.equal(one[0]["vertices"], other[0]["vertices"])


def test_topology(run: Path, topology: Topology) -> None:
    found = FaceDataset(run).topology
    assert found.region_names == topology.region_names
    for name in ("triangles", "triangle_region", "uv", "uv_triangles", "landmarks", "reference"):
        np.testing.assert_array_equal(getattr(found, name), getattr(topology, name), strict=True)


def test_sequence_protocol(run: Path) -> None:
    dataset = FaceDataset(run, "face")
    assert [int(item["face"]) for item in dataset] == dataset.faces.tolist()
    assert int(dataset[-1]["face"]) == dataset.faces[-1]
    assert int(dataset[np.int64(1)]["face"]) == dataset.faces[1]
    for outside in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError):
            dataset[outside]


def test_position_of_a_face(run: Path) -> None:
    dataset = FaceDataset(run)
    assert [dataset.position(face) for face in dataset.faces.tolist()] == list(range(len(dataset)))
    with pytest.raises(DatasetError, match="face 5 failed: made to fail"):
        dataset.position(5)
    with pytest.raises(DatasetError, match="face 99 is not in it"):
        dataset.position(99)


def test_transform_gets_the_dictionary(run: Path) -> None:
    dataset = FaceDataset(run, ["image"], transform=lambda item: item["image"].permute(2, 0, 1))
    assert dataset[0].shape == (3, 32, 32)


def test_changing_a_face_does_not_change_the_dataset(run: Path) -> None:
    dataset = FaceDataset(run, STORED)
    before = {name: value.clone() for name, value in dataset[0].items()}
    for value in dataset[0].values():
        value.zero_()
    for name, value in dataset[0].items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_data_loader_workers_give_what_the_dataset_gives(run: Path, start: str) -> None:
    dataset = FaceDataset(run, ["face", "image", "depth", *STORED])
    dataset[0]  # open files in the parent
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=4, num_workers=2, multiprocessing_context=start, persistent_workers=False
    )
    batches = list(loader)
    assert [len(batch["face"]) for batch in batches] == [4, 4, 1]
    for name in dataset.channels:
        together = torch.cat([batch[name].to(torch.float64) for batch in batches])
        assert torch.equal(together, torch.stack([item[name].to(torch.float64) for item in dataset]))


def test_threads_share_a_dataset(run: Path) -> None:
    dataset = FaceDataset(run, ["vertices", "landmarks_2d"])
    alone = list(dataset)
    with ThreadPoolExecutor(4) as pool:
        indices = list(range(len(dataset))) * 20
        for index, item in zip(indices, pool.map(dataset.__getitem__, indices), strict=True):
            assert torch.equal(item["vertices"], alone[index]["vertices"])
            assert torch.equal(item["landmarks_2d"], alone[index]["landmarks_2d"])


def test_pickling_carries_no_open_files(run: Path) -> None:
    dataset = FaceDataset(run)
    item = dataset[0]
    data = pickle.dumps(dataset)
    assert len(data) < 20_000
    assert torch.equal(pickle.loads(data)[0]["vertices"], item["vertices"])


def test_open_files_are_bounded_and_closed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegen.dataset.reader._OPEN_FILES", 2)
    before = len(os.listdir("/proc/self/fd"))
    dataset = FaceDataset(run, ["image", "vertices", "triangle_id", "barycentric", "pose"])
    list(dataset)
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    del dataset
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("name", "message"), [("normals", "did you mean 'normal'"), ("qqqqq", "known: face, valid")])
def test_unknown_channels_are_refused(run: Path, name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=f"unknown channel '{name}'; {message}"):
        FaceDataset(run, ["image", name])


def test_wrong_paths_are_one_clear_line(tmp_path: Path, run: Path) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    other = tmp_path / "other"
    other.mkdir()
    (other / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "zarr.json").write_text('{"zarr_form')
    for path, message in [
        (tmp_path / "nowhere", "no such file or folder"),
        (tmp_path, "neither a run folder nor a dataset.zarr"),
        (file, "neither a run folder nor a dataset.zarr"),
        (run / "records", "neither a run folder nor a dataset.zarr"),
        (other, "expected a dataset of format facegen 3, found None None"),
        (damaged, "not JSON; the file is damaged"),
    ]:
        with pytest.raises(DatasetError, match=message) as caught:
            FaceDataset(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_importing_the_package_imports_neither_torch_nor_zarr() -> None:
    code = "import sys, facegen.dataset; assert not {'torch', 'zarr', 'numba', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
