"""Environment maps: what their light shows against the map itself, and files that are maps or are not."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facegen.errors import FacegenError, LightError, MissingDependencyError
from facegen.lighting import environments, openexr
from facegen.lighting.colour import luminance
from facegen.lighting.environments import EnvironmentFolder, read_map
from facegen.lighting.harmonics import basis, project, shown
from facegen.lighting.outdoor import SUN_RADIUS
from facegen.lighting.panorama import Panorama, light_of, panorama
from facegen.lighting.rgbe import read_rgbe
from facegen.lighting.sky import clear_sky, sun_light

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

NORMALS = np.random.default_rng(0).standard_normal((300, 3))
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)


def grid(height: int) -> Float64:
    """(H, 2H, 3) directions of a map's pixels."""
    return panorama(np.zeros((height, 2 * height, 3), np.float32)).direction


def shown_by(map_: Panorama, normal: Float64) -> Float64:
    """What a white surface shows (n, 3) under a map: the integral over the hemisphere."""
    facing = np.maximum(map_.direction.reshape(-1, 3) @ normal.T, 0)
    return np.asarray(facing.T @ map_.flux.reshape(-1, 3) / np.pi)


def outdoors(height: int) -> Float32:
    """A clear sky with its sun, over grey ground."""
    direction = grid(height)
    sun = np.array([0.6, 0.64, 0.48])
    cosine = direction @ sun
    up = direction[..., 1]
    sky = np.where(
        (up > 0)[..., None], clear_sky(up.ravel(), cosine.ravel(), np.arcsin(0.64), 3).reshape(*up.shape, 3), 5.0
    )
    # As large as a few pixels.
    radius = 1.5 * np.pi / height
    disc = cosine > np.cos(radius)
    solid = panorama(sky.astype(np.float32)).solid_angle * disc
    sky[disc] += sun_light(np.arcsin(0.64), 3) / solid.sum()
    return np.asarray(sky, np.float32)


def room(height: int) -> Float32:
    """Walls of several tones, two windows and a lamp."""
    direction = grid(height)
    light = 0.3 + 0.1 * direction @ np.array([0.2, 0.7, 0.1])
    picture = light[..., None] * np.array([1.0, 0.9, 0.8])
    azimuth, up = np.arctan2(direction[..., 0], direction[..., 2]), direction[..., 1]
    for middle, colour in ((0.9, [6.0, 7.0, 8.0]), (-1.2, [4.0, 4.5, 5.0])):
        picture[(np.abs(azimuth - middle) < 0.25) & (np.abs(up - 0.1) < 0.3)] = colour
    picture[direction @ np.array([0.0, 0.8, -0.6]) > np.cos(0.06)] = [60.0, 40.0, 20.0]
    return np.asarray(picture, np.float32)


MAPS = {"outdoors": outdoors, "room": room}


# -- projection


def test_a_map_of_one_value_shows_that_value() -> None:
    map_ = panorama(np.tile(np.array([0.25, 0.5, 1.0], np.float32), (64, 128, 1)))
    light = light_of(map_, 2)
    np.testing.assert_array_equal(light.colour, 0)
    np.testing.assert_allclose(light.shown(NORMALS), np.tile([0.25, 0.5, 1.0], (300, 1)), rtol=5e-4)


def test_a_map_of_harmonics_gives_their_coefficients() -> None:
    # Positive, and without a place that stands out.
    radiance = np.random.default_rng(1).uniform(-0.2, 0.2, (9, 3))
    radiance[0] = 2.0
    direction = grid(256)
    light = light_of(panorama((basis(direction) @ radiance).astype(np.float32)), 2)
    kernel = np.array([1.0] + 3 * [2 / 3] + 5 * [1 / 4])
    np.testing.assert_allclose(light.sh, kernel[:, None] * radiance, atol=2e-4)
    np.testing.assert_array_equal(light.colour, 0)


# As shares of the brightest side and of the root mean square: by sun and sky, and by two windows 0.5 rad wide, of which
# a direction has a harder terminator, and a lamp.
@pytest.mark.parametrize(
    ("name", "lights", "most", "typical"), [("outdoors", 1, 0.006, 0.003), ("room", 3, 0.08, 0.026)]
)
def test_irradiance_is_that_of_the_map(name: str, lights: int, most: float, typical: float) -> None:
    map_ = panorama(MAPS[name](128))
    expected = shown_by(map_, NORMALS)
    light = light_of(map_, 3)
    assert (luminance(light.colour) > 0).sum() == lights
    error = light.shown(NORMALS) - expected
    assert np.abs(error).max() < most * expected.max()
    root = np.sqrt((error**2).mean() / (expected**2).mean())
    assert root < typical
    soft = shown(light.strongest(0).sh, NORMALS) - expected
    assert root < 0.8 * np.sqrt((soft**2).mean() / (expected**2).mean())
    np.testing.assert_allclose(light.fluence, map_.flux.sum(axis=(0, 1)), rtol=1e-10)


def test_what_lights_are_found() -> None:
    light = light_of(panorama(room(256)), 3)
    expected = np.array([[np.sin(0.9), 0.1, np.cos(0.9)], [np.sin(-1.2), 0.1, np.cos(-1.2)], [0, 0.8, -0.6]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosine = light.direction @ expected.T
    assert sorted(cosine.argmax(axis=0)) == [0, 1, 2]
    assert (cosine.max(axis=0) > np.cos(np.radians(1))).all()
    lamp = int(cosine[:, 2].argmax())
    np.testing.assert_allclose(light.radius[lamp], 0.06, rtol=0.03)
    np.testing.assert_allclose(light.colour[lamp] / light.colour[lamp][0], [1, 2 / 3, 1 / 3], atol=0.01)
    # A rectangle of ±0.25 by ±0.3: as a disc of the same second moment.
    window = np.delete(np.arange(3), lamp)
    np.testing.assert_allclose(light.radius[window], np.sqrt(2 * (0.25**2 + 0.3**2) / 3), rtol=0.05)
    np.testing.assert_array_equal(light.position[:, 3], 0)
    sun = light_of(panorama(outdoors(256)), 1)
    assert sun.direction[0] @ [0.6, 0.64, 0.48] > np.cos(SUN_RADIUS)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 4))
def test_no_light_is_lost_or_made(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    picture = np.exp(rng.uniform(0, 4) * rng.standard_normal((16, 32, 3))) * rng.integers(0, 2, (16, 32, 1))
    map_ = panorama(picture.astype(np.float32))
    light = light_of(map_, count)
    assert light.count == count
    np.testing.assert_allclose(light.fluence, map_.flux.sum(axis=(0, 1)), rtol=1e-10)
    assert (light.colour >= 0).all()
    assert (light.radius <= np.radians(40)).all()


@pytest.mark.parametrize("name", MAPS)
def test_a_turned_map_gives_the_turned_light(name: str) -> None:
    picture = MAPS[name](128)
    # Columns run towards the viewer's left.
    turned = light_of(panorama(np.roll(picture, -32, axis=1)), 3)
    expected = light_of(panorama(picture), 3).turned(np.radians(45))
    used = luminance(expected.colour) > 0
    np.testing.assert_allclose(turned.sh, expected.sh, atol=1e-6 * np.abs(expected.sh).max())
    np.testing.assert_allclose(turned.position[used], expected.position[used], atol=1e-6)
    np.testing.assert_allclose(turned.colour, expected.colour, rtol=1e-6)
    np.testing.assert_allclose(turned.radius, expected.radius, rtol=1e-6)


def test_the_middle_of_a_map_is_what_the_face_looks_at() -> None:
    direction = grid(64)
    np.testing.assert_allclose(direction[32, 64], [0, 0, 1], atol=0.04)
    assert direction[0, 0, 1] > 0.99
    # A map's right is on the face's right, which is the viewer's left.
    assert direction[32, 96, 0] < -0.99


@pytest.mark.parametrize("height", [600, 513])
def test_large_maps_are_reduced_and_keep_their_light(height: int) -> None:
    picture = np.random.default_rng(2).random((height, 2 * height, 3), np.float32)
    picture[: height // 3, : height // 2] *= 9
    map_ = panorama(picture)
    assert len(map_.radiance) <= 512
    assert np.isclose(map_.solid_angle.sum() * map_.radiance.shape[1], 4 * np.pi, rtol=0.01)
    edge = np.cos(np.linspace(0, np.pi, height + 1))
    solid = (edge[:-1] - edge[1:]) * np.pi / height
    np.testing.assert_allclose(map_.flux.sum(axis=(0, 1)), np.einsum("h,hwc->c", solid, picture.astype(np.float64)))
    whole = project(grid_of(height).reshape(-1, 3), (picture * solid[:, None, None]).reshape(-1, 3).astype(np.float64))
    np.testing.assert_allclose(project(map_.direction.reshape(-1, 3), map_.flux.reshape(-1, 3)), whole, atol=2e-3)


def grid_of(height: int) -> Float64:
    """(H, 2H, 3) directions of a map's pixels, however many."""
    up = (lambda edge: (edge[:-1] + edge[1:]) / 2)(np.cos(np.linspace(0, np.pi, height + 1)))
    turn = np.pi * ((np.arange(2 * height) + 0.5) / height - 1)
    across = np.sqrt(1 - up * up)
    return np.stack(
        [-np.outer(across, np.sin(turn)), np.outer(up, np.ones(2 * height)), np.outer(across, np.cos(turn))], 2
    )


# -- Radiance files


def rgbe(picture: Float32) -> NDArray[np.uint8]:
    """(H, W, 4) bytes of shared exponent, rounded down as Radiance does."""
    peak = picture.max(axis=2).astype(np.float64)
    fraction, exponent = np.frexp(peak)
    scale = np.where(peak > 1e-32, fraction * 256 / np.maximum(peak, 1e-300), 0)
    bytes_ = np.concatenate([picture * scale[..., None], exponent[..., None] + 128], axis=2)
    return np.where((peak > 1e-32)[..., None], bytes_, 0).astype(np.uint8)


def header(height: int, width: int, more: str = "", corner: str = "-+") -> bytes:
    return f"#?RADIANCE\n{more}FORMAT=32-bit_rle_rgbe\n\n{corner[0]}Y {height} {corner[1]}X {width}\n".encode()


def by_component(pixels: NDArray[np.uint8]) -> bytes:
    """Run-length encoded, component by component: runs of equal bytes, and literal ones between."""
    out = bytearray()
    for row in pixels:
        out += struct.pack(">BBH", 2, 2, len(row))
        for plane in row.T.tolist():
            at = 0
            while at < len(plane):
                end = at
                while end < len(plane) and plane[end] == plane[at] and end - at < 127:
                    end += 1
                if end - at > 3:
                    out += bytes([128 + end - at, plane[at]])
                else:
                    end = min(at + 5, len(plane))
                    out += bytes([end - at, *plane[at:end]])
                at = end
    return bytes(out)


def with_old_runs(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels, and of those that repeat the one before their number, in digits of base 256, the lowest first."""
    out = bytearray()
    for row in pixels.tolist():
        at = 0
        while at < len(row):
            end = at + 1
            while end < len(row) and row[end] == row[at]:
                end += 1
            out += bytes(row[at])
            repeats = end - at - 1
            while repeats:
                out += bytes([1, 1, 1, repeats & 255])
                repeats >>= 8
            at = end
    return bytes(out)


def any_picture(seed: int, height: int, width: int) -> Float32:
    rng = np.random.default_rng(seed)
    picture = 10 ** rng.uniform(-3, 3, (height, width, 1)) * rng.uniform(0.1, 1, (height, width, 3))
    picture[:, width // 3 : width // 2] = picture[:, width // 3 : width // 3 + 1]
    picture[rng.random((height, width)) < 0.1] = 0
    return np.asarray(picture, np.float32)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), height=st.integers(1, 9), width=st.sampled_from([1, 7, 8, 33, 300, 700]),
       how=st.sampled_from([by_component, with_old_runs, lambda pixels: pixels.tobytes()]))  # fmt: skip
def test_what_was_written_is_read(seed: int, height: int, width: int, how) -> None:  # type: ignore[no-untyped-def]
    picture = any_picture(seed, height, width)
    if how is by_component and not 8 <= width < 32768:
        return
    found = read_rgbe(header(height, width) + how(rgbe(picture)), 10**6)
    assert found.shape == picture.shape
    assert found.dtype == np.float32
    # Eight bits below the largest of the three; half a step after rounding down.
    assert (np.abs(found - picture) <= picture.max(axis=2, keepdims=True) / 255).all()
    assert (found[picture.max(axis=2) == 0] == 0).all()


def test_exposures_and_corners() -> None:
    picture = any_picture(3, 4, 8)
    data = rgbe(picture).tobytes()
    plain = read_rgbe(header(4, 8) + data, 100)
    np.testing.assert_allclose(read_rgbe(header(4, 8, "EXPOSURE=4\nEXPOSURE= 0.5\n") + data, 100), plain / 2)
    np.testing.assert_array_equal(read_rgbe(header(4, 8, corner="++") + data, 100), plain[::-1])
    np.testing.assert_array_equal(read_rgbe(header(4, 8, corner="--") + data, 100), plain[:, ::-1])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it does not begin with '#?'"),
        (b"\x89PNG", "it does not begin with '#?'"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "the header has no end"),
        (b"#?RADIANCE\n" * 9000 + b"\n", "the header has no end"),
        (b"#?RGBE\n\nsomething\n", "its size is not given as '-Y rows +X columns'"),
        (b"#?RGBE\n\n+X 4 +Y 4\n", "its size is not given as '-Y rows +X columns'"),
        (b"#?RGBE\n\n-Y 4 +X 8", "its size is not given as '-Y rows +X columns'"),
        (b"#?RGBE\nFORMAT=32-bit_rle_xyze\n\n-Y 4 +X 8\n", "pixels of format '32-bit_rle_xyze'"),
        (b"#?RGBE\nEXPOSURE=0\n\n-Y 4 +X 8\n", "its EXPOSURE is no positive number"),
        (b"#?RGBE\nEXPOSURE=nan\n\n-Y 4 +X 8\n", "its EXPOSURE is no positive number"),
        (b"#?RGBE\n\n-Y 0 +X 8\n", "8 × 0 pixels; from 1 to 33,554,432 can be read"),
        (b"#?RGBE\n\n-Y 100000 +X 200000\n", "200000 × 100000 pixels; from 1 to 33,554,432 can be read"),
        (header(4, 8) + bytes(127), "it ends before its last pixel"),
        (header(1, 8) + bytes([2, 2, 0, 9]) + bytes(40), "a run of pixels that does not fit its row"),
        (header(1, 8) + bytes([2, 2, 0, 8, 137, 1]) + bytes(40), "a run of pixels that does not fit its row"),
        (header(1, 8) + bytes([2, 2, 0, 8, 0, 0]) + bytes(40), "a run of pixels that does not fit its row"),
        (header(1, 8) + bytes([2, 2, 0, 8, 8, 1]), "it ends before its last pixel"),
        (header(1, 8) + bytes([1, 1, 1, 2]), "a run of pixels that does not fit its row"),
    ],
    ids=lambda value: value[:12].decode("latin1") if isinstance(value, bytes) else "",
)
def test_files_that_are_no_radiance_pictures(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "map.hdr"
    path.write_bytes(data)
    assert message in refusal(path)


def refusal(path: Path) -> str:
    with pytest.raises(LightError) as refused:
        read_map(path)
    text = str(refused.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 400), changes=st.lists(st.integers(0, 2**20), max_size=6))
def test_damaged_radiance_files_raise_nothing_else(seed: int, cut: int, changes: list[int]) -> None:
    data = bytearray(header(4, 16) + by_component(rgbe(any_picture(seed % 5, 4, 16))))
    for change in changes:
        data[change % len(data)] = (change // len(data)) & 255
    with contextlib.suppress(ValueError):
        picture = read_rgbe(bytes(data[: len(data) - cut % len(data)]), 10**4)
        assert picture.size <= 3 * 10**4


# -- OpenEXR files


def write_exr(path: Path, channels: dict[str, NDArray[np.generic]]) -> None:
    library = pytest.importorskip("OpenEXR")
    library.File({"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}, channels).write(str(path))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_exr_files_are_read(tmp_path: Path, dtype: type[np.floating]) -> None:
    picture = any_picture(4, 16, 32).astype(dtype)
    write_exr(tmp_path / "a.exr", {"RGB": picture})
    np.testing.assert_array_equal(read_map(tmp_path / "a.exr"), picture.astype(np.float32))
    write_exr(tmp_path / "b.exr", {"RGBA": np.concatenate([picture, picture[..., :1]], axis=2)})
    np.testing.assert_array_equal(read_map(tmp_path / "b.exr"), picture.astype(np.float32))
    write_exr(tmp_path / "c.exr", {"Y": picture[..., 0].copy()})
    np.testing.assert_array_equal(
        read_map(tmp_path / "c.exr"), np.repeat(picture[..., :1].astype(np.float32), 3, axis=2)
    )


def test_exr_files_that_are_no_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.exr"
    picture = any_picture(5, 16, 32)
    write_exr(path, {"Z": picture[..., 0].copy()})
    assert "its channels are Z; expected R, G, B or Y in floating point" in refusal(path)
    write_exr(path, {"RGB": picture.astype(np.uint32)})
    assert "in floating point" in refusal(path)
    write_exr(path, {"RGB": picture})
    with monkeypatch.context() as patched:
        patched.setattr(environments, "MOST_PIXELS", 500)
        assert "32 × 16 pixels; from 1 to 500 can be read" in refusal(path)
    picture[3, 4, 1], picture[5, 6, 2], picture[7, 8, 0] = -1, np.nan, np.inf
    write_exr(path, {"RGB": picture})
    assert "3 values are negative, not finite or more than 1e+09" in refusal(path)
    monkeypatch.setattr(openexr.importlib, "import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"pip install 'facegen\[exr\]'"):
        read_map(path)


def absent(name: str) -> None:
    raise ImportError(name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 2000), changes=st.lists(st.integers(0, 2**24), max_size=4))
def test_damaged_exr_files_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str], cut: int, changes: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.exr"
    write_exr(path, {"RGB": any_picture(6, 8, 16).astype(np.float16)})
    data = bytearray(path.read_bytes())
    for change in changes:
        data[change % len(data)] = (change // len(data)) & 255
    path.write_bytes(data[: max(len(data) - cut, 0)])
    with contextlib.suppress(FacegenError):
        assert np.isfinite(read_map(path)).all()
    # The library's own complaints reach nobody.
    assert capfd.readouterr() == ("", "")


# -- folders


def write_hdr(path: Path, picture: Float32) -> None:
    path.write_bytes(header(*picture.shape[:2]) + by_component(rgbe(picture)))


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        ((16, 16), 1.0, "16 × 16 pixels; a latitude-longitude map is twice as wide as high"),
        ((16, 31), 1.0, "31 × 16 pixels; a latitude-longitude map is twice as wide as high"),
        ((16, 32), 0.0, "all black"),
        ((16, 32), 1e12, "1,536 values are negative, not finite or more than 1e+09"),
    ],
)
def test_pictures_that_are_no_maps(tmp_path: Path, shape: tuple[int, int], value: float, message: str) -> None:
    picture = np.zeros((*shape, 3), np.float32)
    picture[..., 1] = value
    write_hdr(tmp_path / "a.hdr", picture)
    assert message in refusal(tmp_path / "a.hdr")


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.hdr"
    with path.open("wb") as file:
        file.truncate(environments.MOST_BYTES + 1)
    assert "536,870,913 bytes; at most 536,870,912 are read" in refusal(path)
    path.unlink()
    assert "cannot be read (No such file or directory)" in refusal(path)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(LightError, match=r"cannot be read \(No such file or directory\)"):
        EnvironmentFolder(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("not a map")
    (tmp_path / "folder.hdr").mkdir()
    with pytest.raises(LightError, match=r"no environment maps there; expected files \.exr, \.hdr"):
        EnvironmentFolder(tmp_path)
    write_hdr(tmp_path / "b.HDR", room(16))
    write_hdr(tmp_path / "a.hdr", outdoors(16))
    folder = EnvironmentFolder(tmp_path)
    assert [path.name for path in folder.files] == ["a.hdr", "b.HDR"]
    folder.check(2)
    digest = folder.digest()
    assert digest == EnvironmentFolder(tmp_path).digest()
    expected = light_of(panorama(read_map(tmp_path / "b.HDR")), 2)
    np.testing.assert_array_equal(folder.light(1, 2).sh, expected.sh)
    (tmp_path / "b.HDR").rename(tmp_path / "c.hdr")
    assert EnvironmentFolder(tmp_path).digest() != digest
    (tmp_path / "c.hdr").write_bytes(b"#?")
    with pytest.raises(LightError, match=r"c\.hdr: the header has no end"):
        EnvironmentFolder(tmp_path).check(2)
