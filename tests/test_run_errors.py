"""What goes wrong is told in one line, with the right exit code, and loses nothing that was finished."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facegen import storage
from facegen.dataset import FaceDataset
from facegen.errors import StorageError
from facegen.stages.render.stage import BRIGHTEST, FARTHEST_VERTEX
from facegen.tests.command import Outcome, facegen, only_line, quickstart, states, tree
from facegen.tests.data_paths import shared_path


def refusal(outcome: Outcome, code: int) -> str:
    """The one line that a command ended with, and nothing on stdout."""
    assert outcome.code == code, outcome
    assert outcome.out == ""
    line = only_line(outcome.err)
    assert line.startswith("facegen: ")
    return line.removeprefix("facegen: ")


def ict_at(path: Path | str) -> tuple[str, str]:
    """The override that takes ICT-FaceKit from a path."""
    return "--set", f"model={{name: ict, path: {path}}}"


class TestInputs:
    """Model and recordings that cannot be read: exit 2, and no run folder."""

    @pytest.fixture(autouse=True)
    def _nothing_is_written(self, tmp_path: Path) -> Iterator[None]:
        yield
        assert not (tmp_path / "run").exists()

    def test_no_model_file(self, tmp_path: Path) -> None:
        absent = tmp_path / "absent.npz"
        line = refusal(facegen("run", "quickstart", "--out", tmp_path / "run", *ict_at(absent)), 2)
        assert str(absent) in line
        assert "No such file" in line

    def test_truncated_model(self, ict: Path, tmp_path: Path) -> None:
        half = tmp_path / "half.npz"
        half.write_bytes(ict.read_bytes()[: ict.stat().st_size // 2])
        line = refusal(facegen("run", "quickstart", "--out", tmp_path / "run", *ict_at(half)), 2)
        assert line.startswith(f"{half}: no readable .npz file")

    def test_empty_model_folder(self, tmp_path: Path) -> None:
        (tmp_path / "FaceXModel").mkdir()
        line = refusal(facegen("run", "quickstart", "--out", tmp_path / "run", *ict_at(tmp_path / "FaceXModel")), 2)
        assert str(tmp_path / "FaceXModel") in line

    def test_variable_not_set(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FACEGEN_ICT", raising=False)
        line = refusal(facegen("run", "quickstart", "--out", tmp_path / "run", *ict_at("$FACEGEN_ICT")), 2)
        assert "the environment variable FACEGEN_ICT is not set" in line

    def test_no_such_user(self, tmp_path: Path) -> None:
        law = "sample.expression={law: empirical, recordings: ['~no-such-user/a.csv']}"
        line = refusal(quickstart("run", tmp_path / "run", "--set", law), 2)
        assert "no such user" in line

    def test_recording_of_unknown_columns(self, tmp_path: Path) -> None:
        text = shared_path("captures/arkit/take-facial.csv").read_text()
        recording = tmp_path / "take.csv"
        recording.write_text(text.replace("JawOpen", "JawOpn", 1))
        law = f"sample.expression={{law: empirical, recordings: ['{recording}']}}"
        line = refusal(quickstart("run", tmp_path / "run", "--set", law), 2)
        assert line.startswith(f"{recording}: unknown columns 'JawOpn' (did you mean 'JawOpen'?)")

    def test_absent_recording(self, tmp_path: Path) -> None:
        law = "sample.expression={law: empirical, recordings: [/absent/take.csv]}"
        assert refusal(quickstart("run", tmp_path / "run", "--set", law), 2).startswith("/absent/take.csv: ")


class TestFolder:
    def test_another_configuration_is_refused_by_what_differs(self, clean_run: Path) -> None:
        before = states(clean_run)
        line = refusal(quickstart("run", clean_run, "--set", "sample.pose.yaw.high=50", "--seed", "9"), 2)
        assert "(differs in sample.pose.yaw.high, seed)" in line
        assert "--overwrite" in line
        assert states(clean_run) == before

    def test_another_content_of_the_model_file(self, clean_run: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(clean_run, run)
        text = (run / "run.yaml").read_text()
        model = text.split("sha256: ")[1].split()[0]
        fingerprint = text.split("fingerprint: ")[1].split()[0]
        (run / "run.yaml").write_text(text.replace(model, "a" * 64).replace(fingerprint, "b" * 64))
        assert "differs in the content of the model file" in refusal(quickstart("run", run), 2)

    def test_dry_run_refuses_the_same(self, clean_run: Path) -> None:
        assert "differs in seed" in refusal(quickstart("run", clean_run, "--seed", "9", "--dry-run"), 2)

    def test_fewer_faces(self, clean_run: Path) -> None:
        line = refusal(quickstart("run", clean_run, faces=20), 2)
        assert "the run there has 48 faces, more than the 20 asked for" in line

    def test_overwrite_replaces_what_facegen_wrote(self, clean_run: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        shutil.copytree(clean_run, run)
        (run / "notes.txt").write_text("mine")
        assert quickstart("run", run, "--seed", "9", "--overwrite", faces=16).code == 0
        assert (run / "notes.txt").read_text() == "mine"
        assert quickstart("run", tmp_path / "fresh", "--seed", "9", faces=16).code == 0
        assert tree(run / "dataset.zarr") == tree(tmp_path / "fresh" / "dataset.zarr")
        assert set(states(run)) - {"notes.txt"} == set(states(tmp_path / "fresh"))

    def test_overwrite_continues_the_same_run(self, clean_run: Path) -> None:
        before = states(clean_run / "records")
        assert quickstart("run", clean_run, "--overwrite").code == 0
        assert states(clean_run / "records") == before

    @pytest.mark.parametrize("arguments", [(), ("--overwrite",)], ids=["", "overwrite"])
    def test_a_foreign_folder_is_left_alone(self, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        (tmp_path / "thesis.tex").write_text("years of work")
        line = refusal(quickstart("run", tmp_path, *arguments), 2)
        assert line == f"{tmp_path}: the folder is not empty and not a run; choose a new folder"
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_a_foreign_run_yaml(self, tmp_path: Path) -> None:
        for text in ("distance: 10 km\n", "{fingerprint: 3, faces: many, shard_size: 1}", "\0", "[1, 2"):
            (tmp_path / "run.yaml").write_text(text)
            assert str(tmp_path / "run.yaml") in refusal(quickstart("run", tmp_path, "--overwrite"), 2)
            assert (tmp_path / "run.yaml").read_text() == text

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("")
        assert "a file is in the way" in refusal(quickstart("run", tmp_path / "run"), 2)
        assert str(tmp_path / "run" / "below") in refusal(quickstart("run", tmp_path / "run" / "below"), 1)

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        assert "File name too long" in refusal(quickstart("run", tmp_path / ("x" * 300)), 1)

    @pytest.mark.parametrize("command", ["status", "verify", "inspect", "preview"])
    def test_commands_on_what_is_no_run(self, tmp_path: Path, command: str) -> None:
        outcome = facegen(command, tmp_path / "absent")
        assert str(tmp_path / "absent") in refusal(outcome, outcome.code)
        assert outcome.code in (1, 2)


def mounted(folder: Path, *options: str) -> bool:
    """Mount a memory disk where the tests may."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    if os.geteuid() != 0 or not mounted(disk, "size=2m"):
        pytest.skip("only root may mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


class TestDisk:
    @pytest.mark.parametrize("workers", ["0", "2"])
    def test_full(self, clean_run: Path, small_disk: Path, workers: str) -> None:
        line = refusal(quickstart("run", small_disk / "run", "--quiet", "--workers", workers), 1)
        assert line.endswith(": No space left on device")
        assert not list((small_disk / "run").rglob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        assert quickstart("run", small_disk / "run").code == 0
        assert tree(small_disk / "run" / "dataset.zarr") == tree(clean_run / "dataset.zarr")

    def test_read_only(self, clean_run: Path, small_disk: Path) -> None:
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        run = small_disk / "run"
        assert quickstart("run", run, faces=16).code == 0
        (run / "failed").mkdir()
        (run / "failed" / "shard-00000.json").write_text("{}")
        (run / "records" / "pack" / "00000.json").unlink()
        before = states(run)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        for faces in (16, 48):
            assert refusal(quickstart("run", run, "--quiet", faces=faces), 1).endswith(": Read-only file system")
            assert states(run) == before
        assert "Read-only" in refusal(quickstart("run", run, "--seed", "3", "--overwrite"), 1)
        assert "Read-only" in refusal(quickstart("run", small_disk / "other"), 1)
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        assert quickstart("run", run).code == 0
        assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")

    def test_full_after_some_shards(self, clean_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = tmp_path / "run"
        write = os.write

        def disk(file: int, data: bytes) -> int:
            if (run / "records" / "pack" / "00000.json").exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(file, data)

        with monkeypatch.context() as patch:
            patch.setattr(storage.os, "write", disk)
            line = refusal(quickstart("run", run, "--quiet"), 1)
        assert line.endswith(": No space left on device")
        assert not list(run.rglob("*.partial"))
        outcome = quickstart("run", run, "--json")
        assert outcome.json["made"] == 32
        assert tree(run / "dataset.zarr") == tree(clean_run / "dataset.zarr")

    def test_write_atomically_keeps_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "a" / "b"
        storage.write_atomically(file, b"old")

        def refuse(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(storage.os, "fsync", refuse)
        with pytest.raises(StorageError, match=f"cannot write {file}: Input/output error"):
            storage.write_atomically(file, b"new")
        assert [path.name for path in file.parent.iterdir()] == ["b"]
        assert file.read_bytes() == b"old"


def constant(key: str, value: float) -> tuple[str, str]:
    return "--set", f"{key}={{law: constant, value: {value!r}}}"


class TestFailedFaces:
    """A face that cannot be made is listed, and is not in the dataset; the others are."""

    def make(self, run: Path, *arguments: str) -> dict[int, str]:
        """Reasons of the failed faces, by face."""
        outcome = quickstart("run", run, *arguments, "--json", faces=24)
        assert outcome.code == 1
        assert outcome.err == ""
        values = outcome.json
        assert values["made"] == 24
        assert values["failed_shards"] == {}
        assert not (run / "README.md").exists()
        listed = {}
        for face in values["failed_faces"]:
            text = (run / "failed" / f"face-{face:08d}.json").read_text()
            listed[face] = text.split('"reason": "')[1].split('"')[0]
        assert len(list((run / "failed").iterdir())) == len(listed)
        verified = facegen("verify", run, "--json")
        assert verified.code == 0, verified.out
        assert verified.json["failed_faces"] == len(listed)
        return listed

    def test_overflowing_identity(self, tmp_path: Path) -> None:
        failed = self.make(tmp_path / "run", "--set", "sample.identity={law: uniform, width: 1e38}")
        assert len(failed) == 24
        assert all("vertices are not finite" in reason for reason in failed.values())
        assert len(FaceDataset(tmp_path / "run")) == 0

    def test_some_of_the_faces(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        laws = "{weight: 9, law: {law: uniform, width: 1.6}}, {weight: 1, law: {law: constant, value: 1.0e+300}}"
        law = f"sample.identity={{law: mixture, per: face, components: [{laws}]}}"
        failed = self.make(run, "--set", law)
        assert 1 <= len(failed) <= 8
        dataset = FaceDataset(run, ["face", "image", "vertices"])
        assert [int(face["face"]) for face in dataset] == [face for face in range(24) if face not in failed]
        assert all(np.ptp(face["image"].numpy()) > 50 for face in dataset)
        # The same command again tells the same and makes nothing.
        again = quickstart("run", run, "--set", law, "--json", faces=24)
        assert (again.code, again.json["made"], again.json["failed_faces"]) == (1, 0, sorted(failed))
        # A run killed between a record and its list: the list is made up for.
        shutil.rmtree(run / "failed")
        assert quickstart("run", run, "--set", law, faces=24).code == 1
        assert len(list((run / "failed").iterdir())) == len(failed)

    def test_failed_neighbours_do_not_change_a_face(self, clean_run: Path, tmp_path: Path) -> None:
        laws = "{weight: 1, law: {law: constant, value: 0}}, {weight: 1, law: {law: constant, value: 1.0e+300}}"
        self.make(tmp_path / "run", "--set", f"sample.pose.x={{law: mixture, components: [{laws}]}}")
        clean = {int(face["face"]): face["vertices"] for face in FaceDataset(clean_run, ["face", "vertices"])}
        for face in FaceDataset(tmp_path / "run", ["face", "vertices"]):
            np.testing.assert_array_equal(face["vertices"], clean[int(face["face"])])

    @pytest.mark.parametrize(
        ("setting", "reason"),
        [
            (constant("sample.pose.x", 500.0), "no part of the face is in the image"),
            (constant("sample.pose.z", 1e5), "no part of the face is in the image"),
            (constant("sample.pose.x", 1e300), "pose is not finite"),
            (constant("sample.camera.distance", 1e300), "no part of the face is in the image"),
            (constant("sample.light.ambient", 1e39), "light_sh is not finite"),
            (constant("sample.light.ambient", 1e30), f"more than {BRIGHTEST:.0e}"),
            (constant("sample.light.intensity", 1e30), f"more than {BRIGHTEST:.0e}"),
            (constant("sample.albedo", 1e300), "the albedo is not finite"),
            (constant("sample.identity", 1e25), f"mm from the origin, more than {FARTHEST_VERTEX:.0e}"),
        ],
        ids=[
            "beside",
            "behind",
            "far beside",
            "far",
            "infinite light",
            "light",
            "directional light",
            "albedo",
            "shape",
        ],
    )
    def test_every_face(self, tmp_path: Path, setting: tuple[str, str], reason: str) -> None:
        failed = self.make(tmp_path / "run", *setting)
        assert len(failed) == 24
        assert all(reason in found for found in failed.values()), failed
