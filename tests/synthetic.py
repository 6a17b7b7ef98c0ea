"""A small made-up face model and what the stages before pack would hand over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import PERSPECTIVE, SCALED_ORTHOGRAPHIC, Renders, Samples
from facegen.imaging.camera import extrinsic_matrices, head_rotation
from facegen.imaging.channels import rebuild
from facegen.imaging.landmarks import project_landmarks
from facegen.imaging.mesh import CameraMesh
from facegen.imaging.rasterise import rasterise
from facegen.imaging.visibility import barycentric_coordinates
from facegen.morphable.albedo import TextureAlbedo
from facegen.morphable.model import MorphableModel
from facegen.morphable.relief import Relief
from facegen.morphable.topology import Topology
from facegen.stages.pack.schema import DatasetSpec
from facegen.stages.pack.writer import create_dataset, write_shard

REGIONS = ("background", "left", "right", "crown")


def sphere(rows: int = 12, columns: int = 18) -> Topology:
    """A head-sized UV sphere of about ``rows * columns`` vertices, 100 mm in radius, with 5 landmarks."""
    polar = np.linspace(0.02, np.pi - 0.02, rows)[:, None]
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :]
    position = np.stack(
        np.broadcast_arrays(np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)), axis=-1
    )
    reference = (100 * position).reshape(-1, 3).astype(np.float32)
    corner = np.arange(rows * columns).reshape(rows, columns)
    a, b = corner[:-1], np.roll(corner, -1, axis=1)[:-1]
    c, d = corner[1:], np.roll(corner, -1, axis=1)[1:]
    triangles = np.stack([np.stack([a, c, d], -1), np.stack([a, d, b], -1)], 2).reshape(-1, 3).astype(np.int32)
    centre = reference[triangles].mean(axis=1)
    region = np.where(centre[:, 1] > 60, 3, np.where(centre[:, 0] > 0, 1, 2)).astype(np.uint8)
    # One texture coordinate per corner: unwelded, so that uv has its own length.
    flat = np.stack([np.arctan2(centre[:, 0], centre[:, 2]) / (2 * np.pi) + 0.5, centre[:, 1] / 200 + 0.5], -1)
    uv = np.repeat(flat, 3, axis=0).clip(0, 1).astype(np.float32)
    aims = np.array([[0, 0, 1], [0.4, 0.2, 0.9], [-0.4, 0.2, 0.9], [0, -0.5, 0.8], [0, 0, -1]])
    return Topology(
        triangles=triangles,
        triangle_region=region,
        region_names=REGIONS,
        uv=uv,
        uv_triangles=np.arange(len(uv), dtype=np.int32).reshape(-1, 3),
        landmarks=np.argmax(aims @ reference.T, axis=1).astype(np.int32),
        reference=reference,
    )


def textured_model(size: int = 128) -> MorphableModel:
    """A model of the sphere with a texture and a relief, for the coefficients of :func:`batch`."""
    topology = sphere()
    place = (topology.reference[:, :2] / 200 + 0.5).clip(0, 1)
    topology = replace(topology, uv=place, uv_triangles=topology.triangles)
    generator = np.random.default_rng(0)
    vertices = topology.vertex_count
    albedo = TextureAlbedo(
        names=("a", "b", "c"),
        mean=generator.uniform(0.5, 1.0, (size, size, 3)).astype(np.float32),
        masks=generator.integers(0, 256, (3, size, size), np.uint8),
        colours=np.full((3, 3), 0.3, np.float32),
        vertex_uv=generator.random((vertices, 2)).astype(np.float32),
    )
    relief = Relief(
        names=("frown",),
        wrinkles=generator.integers(-60, 61, (1, size, size, 2), np.int8),
        base=np.zeros(1, np.float32),
        by_albedo=np.zeros((1, 3), np.float32),
        by_expression=np.full((1, 4), 0.5, np.float32),
        largest=np.full(1, 2, np.float32),
        micro=np.zeros((4, 4, 2), np.int8),
        micro_repeats=10.0,
        micro_strength=np.zeros((4, 4), np.uint8),
        micro_millimetres=3.0,
    )
    return MorphableModel(
        name="textured",
        sha256="00" * 32,
        source_sha256="00" * 32,
        topology=topology,
        mean=topology.reference,
        identity_basis=np.zeros((6, vertices, 3), np.float32),
        identity_names=tuple("123456"),
        expression_basis=np.zeros((4, vertices, 3), np.float32),
        expression_names=tuple("efgh"),
        expression_bounds=(0.0, 1.0),
        expression_limits=(),
        albedo=albedo,
        relief=relief,
    )


def batch(
    topology: Topology, faces: NDArray[np.int64], *, size: int = 32, failed: tuple[int, ...] = ()
) -> tuple[Samples, Renders]:
    """Samples and renders of the numbered faces; each face depends on its number alone.

    Args:
        topology: the mesh.
        faces: (B,) face numbers.
        size: height and width of the image.
        failed: numbers of the faces to mark as failed.
    """
    rows = [_face(topology, int(face), size, int(face) in failed) for face in faces]
    samples, renders = zip(*rows, strict=True)
    stack = {name: np.stack([row[name] for row in samples]) for name in samples[0]}
    made = {name: np.stack([row[name] for row in renders]) for name in renders[0]}
    return Samples.from_dict(stack), Renders.from_dict(made)


def _face(
    topology: Topology, face: int, size: int, failed: bool
) -> tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.generic]]]:
    random = np.random.Generator(np.random.Philox(key=[7, face]))
    projection = PERSPECTIVE if face % 3 else SCALED_ORTHOGRAPHIC
    angles = random.uniform(-0.4, 0.4, 3)
    focal = size * (2.4 if projection == PERSPECTIVE else 2.4 / 700)
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
    rotation = head_rotation(angles[:1], angles[1:2], angles[2:])
    extrinsics = extrinsic_matrices(rotation, np.zeros((1, 3)), np.zeros(3), np.array([700.0]))[0]
    light = random.normal(size=3)
    sample = {
        "face": np.int64(face),
        "identity_number": np.int64(face // 2),
        "identity": random.normal(size=6).astype(np.float32),
        "expression": random.uniform(size=4).astype(np.float32),
        "albedo": random.normal(size=3).astype(np.float32),
        "iris_colour": random.uniform(size=3).astype(np.float32),
        "gaze": random.normal(size=(2, 2)).astype(np.float32),
        "pose": np.concatenate([angles, np.zeros(3)]).astype(np.float32),
        "projection": np.uint8(projection),
        "intrinsics": intrinsics,
        "extrinsics": extrinsics,
        "light_sh": random.normal(size=(9, 3)).astype(np.float32),
        "light_position": np.append(light / np.linalg.norm(light), 0)[None].astype(np.float32),
        "light_colour": random.uniform(size=(1, 3)).astype(np.float32),
        "light_radius": np.full(1, 0.05, np.float32),
        "background_seed": np.uint64(random.integers(1 << 63)),
    }
    phase = random.uniform(0, 6, 3)
    bumps = 1 + 0.08 * np.sin(topology.reference / 17 + phase).prod(axis=1, keepdims=True)
    vertices = (topology.reference * bumps * random.uniform(0.9, 1.1)).astype(np.float32)
    mesh = CameraMesh.from_model(vertices, topology.triangles, extrinsics)
    triangle_id, _ = rasterise(mesh.vertices, topology.triangles, intrinsics, projection, size, size)
    barycentric = barycentric_coordinates(triangle_id, topology.triangles, mesh.vertices, intrinsics, projection)
    found = project_landmarks(topology.landmarks, mesh, triangle_id, barycentric, intrinsics, projection)
    render = {
        "vertices": vertices,
        "image": _image(triangle_id, random, size),
        "triangle_id": triangle_id,
        "barycentric": barycentric,
        "landmarks_2d": found.points_2d,
        "landmarks_3d": found.points_3d,
        "landmark_visible": found.visible,
    }
    if failed:
        render = {name: np.zeros_like(value) for name, value in render.items()}
    header = {"face": np.int64(face), "valid": np.bool_(not failed), "reason": np.str_("made to fail" * failed)}
    return sample, {**header, **render}


def _image(triangle_id: NDArray[np.int32], random: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Smooth colours with a little grain, other ones on the background."""
    y, x = np.mgrid[0:size, 0:size] * (6.0 / size)
    phase = random.uniform(0, 6, 6)
    skin = np.stack([np.sin(x + phase[i]) * np.cos(y + phase[i]) for i in range(3)], -1) * 50 + (190, 140, 120)
    wall = np.stack([np.sin(0.5 * x + phase[3 + i] + 0.3 * y) for i in range(3)], -1) * 40 + 110
    image = np.where(triangle_id[:, :, None] >= 0, skin + random.normal(size=(size, size, 1)), wall)
    rounded: NDArray[np.uint8] = image.clip(0, 255).astype(np.uint8)
    return rounded


def specification(
    topology: Topology, faces: int, shard_size: int, *, size: int = 32, fingerprint: str = "f1", **more: Any
) -> DatasetSpec:
    """The dataset that :func:`write_run` writes."""
    return DatasetSpec(
        faces=faces,
        shard_size=shard_size,
        height=size,
        width=size,
        identity=6,
        expression=4,
        albedo=3,
        topology=topology,
        model_name="sphere",
        model_sha256="ab" * 32,
        seed=7,
        fingerprint=fingerprint,
        **more,
    )


def write_shard_and_record(run: Path, spec: DatasetSpec, shard: int, failed: tuple[int, ...] = ()) -> None:
    """One finished shard of the dataset, with the record that the pipeline would write."""
    root = run / "dataset.zarr"
    faces = np.array(spec.faces_of(shard), np.int64)
    samples, renders = batch(spec.topology, faces, size=spec.height, failed=failed)
    extra = [channels_of(spec, samples, renders, place) for place in range(len(faces))]
    stacked = {name: np.stack([face[name] for face in extra]) for name in spec.channels}
    files = write_shard(root, spec, shard, samples, renders, stacked)
    record = {
        "shard": shard,
        "first_face": int(faces[0]),
        "faces": len(faces),
        "fingerprint": spec.fingerprint,
        "files": [{"path": f"dataset.zarr/{f.path}", "bytes": f.bytes, "sha256": f.sha256} for f in files],
        "failed": [{"face": face, "reason": "made to fail"} for face in failed if face in faces],
    }
    folder = run / "records" / "pack"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{shard:05d}.json").write_text(json.dumps(record))


def channels_of(spec: DatasetSpec, samples: Samples, renders: Renders, place: int) -> dict[str, NDArray[np.generic]]:
    """The demanded channels of one face of a batch."""
    mesh = CameraMesh.from_model(renders.vertices[place], spec.topology.triangles, samples.extrinsics[place])
    # Tests write spoiled triangle numbers on purpose, which have no channels.
    triangle_id = renders.triangle_id[place].clip(-1, len(mesh.triangles) - 1)
    layers = spec.annotate().layers
    return rebuild(spec.channels, spec.topology, mesh, triangle_id, renders.barycentric[place], layers)


def write_run(run: Path, spec: DatasetSpec, failed: tuple[int, ...] = ()) -> Path:
    """A complete run folder; returns it."""
    create_dataset(run / "dataset.zarr", spec)
    for shard in range(spec.shards):
        write_shard_and_record(run, spec, shard, failed)
    return run
