"""Live Link Face recordings, and the ARKit names."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegen.errors import CaptureError, FacegenError, ModelError
from facegen.morphable.arkit import ARKIT_NAMES, arkit_index
from facegen.morphable.livelink import Recording, read_livelink
from facegen.tests.data_paths import shared_path

EYES = [f"{side}Eye{angle}" for side in ("Left", "Right") for angle in ("Yaw", "Pitch", "Roll")]
HEADER = [
    "Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in ARKIT_NAMES),
    "HeadYaw", "HeadPitch", "HeadRoll", *EYES,
]  # fmt: skip


def frame(value: float = 0.25, time: str = "00:00:00:00.000") -> list[str]:
    return [time, "61", *([f"{value:.10f}"] * 52), "0", "0", "0", *(["0.125"] * 6)]


def text_of(rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


def reading(folder: Path, rows: list[list[str]]) -> Recording:
    path = folder / "take.csv"
    path.write_text(text_of(rows), newline="")
    return read_livelink(path)


def changed(row: list[str], column: str, value: str) -> list[str]:
    result = list(row)
    result[HEADER.index(column)] = value
    return result


@pytest.mark.parametrize(
    ("name", "frames", "lost"),
    [
        ("range-of-motion-a", 4030, 0),
        ("range-of-motion-b", 3809, 0),
        ("take-facial", 1913, 0),
        ("take-with-lost-frames", 1891, 35),
    ],
)
def test_recordings_are_read(name: str, frames: int, lost: int) -> None:
    recording = read_livelink(shared_path(f"captures/arkit/{name}.csv"))
    assert recording.weights.shape == (frames, 52)
    assert recording.gaze.shape == (frames, 2, 2)
    assert recording.weights.dtype == recording.gaze.dtype == np.float32
    assert len(recording.timecodes) == frames
    assert recording.lost_frames == lost
    assert recording.clipped_values > 0
    assert recording.weights.min() >= 0.0
    assert recording.weights.max() <= 1.0


@pytest.mark.parametrize("name", ["range-of-motion-a", "range-of-motion-b", "take-facial", "take-with-lost-frames"])
def test_the_eyes_turn_where_the_weights_say(name: str) -> None:
    """Yaw grows towards the subject's left, pitch upwards, as the lids' weights do."""
    recording = read_livelink(shared_path(f"captures/arkit/{name}.csv"))

    def weight(arkit: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return recording.weights[:, ARKIT_NAMES.index(arkit)]

    to_the_left = (
        weight("eyeLookOutLeft") - weight("eyeLookInLeft"),
        weight("eyeLookInRight") - weight("eyeLookOutRight"),
    )
    for side, suffix in enumerate(("Left", "Right")):
        upwards = weight(f"eyeLookUp{suffix}") - weight(f"eyeLookDown{suffix}")
        assert np.corrcoef(recording.gaze[:, side, 0], to_the_left[side])[0, 1] > 0.99
        assert np.corrcoef(recording.gaze[:, side, 1], upwards)[0, 1] > 0.99


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    row = [str(i / 100) for i in range(len(HEADER))]
    row[:2] = ["t", "61"]
    order = np.random.default_rng(1).permutation(len(HEADER))
    straight = reading(tmp_path, [HEADER, row])
    shuffled = reading(tmp_path, [[HEADER[i] for i in order], [row[i] for i in order]])
    assert np.array_equal(straight.weights, shuffled.weights)
    assert np.array_equal(straight.gaze, shuffled.gaze)
    assert straight.timecodes == shuffled.timecodes == ("t",)
    assert straight.weights[0, 0] == np.float32(0.02)
    assert straight.gaze[0].tolist() == (-np.array([[57, 58], [60, 61]]) / 100).astype(np.float32).tolist()


def test_lost_frames_are_skipped_and_overshoots_clipped(tmp_path: Path) -> None:
    over = changed(changed(frame(time="c"), "JawOpen", "1.08"), "MouthClose", "-0.02")
    recording = reading(tmp_path, [HEADER, frame(time="a"), ["b", "0"], over])
    assert recording.timecodes == ("a", "c")
    assert recording.lost_frames == 1
    assert recording.clipped_values == 2
    assert recording.weights[1, ARKIT_NAMES.index("jawOpen")] == 1.0
    assert recording.weights[1, ARKIT_NAMES.index("mouthClose")] == 0.0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty"),
        ([HEADER], "no complete frame"),
        ([HEADER, ["t", "0"]], "no complete frame"),
        ([["JawOpn" if name == "JawOpen" else name for name in HEADER], frame()], "'JawOpn'.*did you mean 'JawOpen'"),
        ([[*HEADER, "Eyebrows"], [*frame(), "0"]], "unknown columns 'Eyebrows'"),
        ([[*HEADER, "JawOpen"], [*frame(), "0"]], "'JawOpen' occur twice"),
        ([HEADER[:20] + HEADER[21:], frame()], f"missing columns '{HEADER[20]}'"),
        ([HEADER[:2], ["t", "0"]], "missing columns .* and 51 more"),
        ([HEADER, frame(), frame()[:-1]], "row 3: found 62 values; expected 63"),
        ([HEADER, ["t"]], "row 2: found 1 values"),
        ([HEADER, changed(frame(), "JawOpen", "wide")], "row 2: JawOpen is 'wide'; expected a number"),
        ([HEADER, frame(), changed(frame(), "LeftEyeYaw", "")], "row 3: LeftEyeYaw is ''"),
        ([HEADER, changed(frame(), "JawOpen", "nan")], "row 2: JawOpen is 'nan'; expected a finite number"),
        ([HEADER, changed(frame(), "HeadYaw", "inf")], "row 2: HeadYaw"),
        ([HEADER, changed(frame(), "BlendShapeCount", "52")], "row 2: BlendShapeCount is '52'; expected 61"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, rows: list[list[str]], message: str) -> None:
    with pytest.raises(CaptureError, match=message) as caught:
        reading(tmp_path, rows)
    assert "\n" not in str(caught.value)
    assert "take.csv" in str(caught.value)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot be read"):
        read_livelink(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(CaptureError, match="not a text file"):
        read_livelink(tmp_path / "binary.csv")


weights = st.floats(0.0, 1.0, width=32)


@given(st.lists(st.lists(weights, min_size=52, max_size=52), min_size=1, max_size=4))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, values: list[list[float]]) -> None:
    rows = [["t", "61", *(repr(value) for value in row), *(["0"] * 9)] for row in values]
    recording = reading(tmp_path_factory.getbasetemp(), [HEADER, *rows])
    assert np.array_equal(recording.weights, np.array(values, np.float32))
    assert recording.clipped_values == 0


cells = st.one_of(st.sampled_from(["0", "61", "0.5", "nan", "1e999", "", "1_0"]), st.text(max_size=5))


@given(
    st.lists(st.one_of(st.just(frame()), st.just(["t", "0"]), st.lists(cells, max_size=63)), max_size=5), st.booleans()
)
def test_garbage_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], headed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.csv"
    text = text_of([HEADER, *rows] if headed else rows)
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    try:
        recording = read_livelink(path)
    except CaptureError:
        return
    assert np.isfinite(recording.weights).all()


@given(st.binary(max_size=200))
def test_bytes_are_read_or_refused_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.csv"
    path.write_bytes(content)
    with pytest.raises(FacegenError):
        read_livelink(path)


def test_arkit_has_52_names() -> None:
    assert len(ARKIT_NAMES) == len(set(ARKIT_NAMES)) == 52


def test_expressions_are_mapped_by_name() -> None:
    names = ("jawOpen", "browInnerUp_L", "browInnerUp_R", "cheekPuff_L", "eyeBlink_L", "mouthLeft", "tongueOut")
    expected = ("jawOpen", "browInnerUp", "browInnerUp", "cheekPuff", "eyeBlinkLeft", "mouthLeft", "tongueOut")
    assert [ARKIT_NAMES[i] for i in arkit_index(names)] == list(expected)
    assert arkit_index(()).shape == (0,)
    with pytest.raises(ModelError, match="'jawOpne' has no ARKit weight; the nearest is 'jawOpen'"):
        arkit_index(["jawOpne"])
