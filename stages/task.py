"""One shard carried through the stages: a pure function of configuration and shard number, run by any worker."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import resource
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from facegen.annotation.annotate import annotate
from facegen.batch import Arrays, Renders, Samples
from facegen.errors import CaptureError, DatasetError
from facegen.imaging.channels import CHANNELS, rebuild
from facegen.imaging.mesh import CameraMesh
from facegen.morphable.load import load_model
from facegen.morphable.model import MorphableModel
from facegen.paths import expand
from facegen.pipeline.folder import RunFolder
from facegen.pipeline.records import FailedFace, FileRecord, ShardRecord, file_problem, read_record
from facegen.pipeline.run import Job
from facegen.pipeline.shards import Shard
from facegen.settings import validate
from facegen.stages.compose.stage import ComposeStage
from facegen.stages.config import RunConfig, fingerprint
from facegen.stages.denoise.stage import DenoiseStage
from facegen.stages.pack.schema import DatasetSpec
from facegen.stages.pack.writer import write_shard
from facegen.stages.render.background import folder_digests
from facegen.stages.render.stage import RenderStage
from facegen.stages.sample.light_config import light_count
from facegen.stages.sample.lights import folder_digests as environment_digests
from facegen.stages.sample.stage import Sampler, recording_paths
from facegen.storage import write_atomically

STAGES = ("sample", "denoise", "compose", "render", "pack")

A = TypeVar("A", bound=Arrays)


def produce(job: Job, shard: Shard) -> ShardRecord:
    """Carry ``shard`` through ``job.stages`` and write what the last of them makes, then its record.

    What the stage before the first of the job made is read from the run folder; all in between stays in memory. Stages
    that have nothing to do are passed over: where nothing is denoised or composed, render and pack take what sample
    made.

    Raises:
        DatasetError: when what an earlier stage should have left is absent or damaged, or this machine has other files
            than the one where the run was started.
        StorageError: when the disk refuses.
    """
    tools = _tools(job)
    times = Times()
    samples: Samples | None = None
    renders: Renders | None = None
    files: list[FileRecord] = []
    if "sample" in job.stages:
        with times.of("sample"):
            samples = tools.sampler.draw(np.arange(shard.first_face, shard.first_face + shard.faces))
    else:
        samples = _read(job, tools.last_before(job.stages[0]), shard, Samples)
    if "denoise" in job.stages and "denoise" in tools.active:
        with times.of("denoise"):
            samples = tools.denoise.denoise(samples)
    if "compose" in job.stages and "compose" in tools.active:
        with times.of("compose"):
            samples = tools.compose.compose(samples)
    if "render" in job.stages:
        with times.of("render"):
            renders = tools.render.render(samples)
    elif "pack" in job.stages:
        renders = _read(job, "render", shard, Renders)
    if "pack" in job.stages:
        assert renders is not None
        with times.of("pack"):
            channels = _stored_channels(tools, samples, renders)
            written = write_shard(job.folder.dataset, tools.spec, shard.number, samples, renders, channels)
            root = job.folder.dataset.name
            files = [FileRecord(f"{root}/{file.path}", file.bytes, file.sha256) for file in written]
    else:
        result: Arrays = samples if renders is None else renders
        files = [_write(job.folder, job.stages[-1], shard, result)]
    record = ShardRecord(
        shard=shard.number,
        first_face=shard.first_face,
        faces=shard.faces,
        fingerprint=job.fingerprint,
        files=tuple(files),
        failed=_failures(renders),
        seconds=times.processor,
        elapsed=times.elapsed,
        host={
            "name": platform.node(),
            "process": os.getpid(),
            "resident_mib": round(resident_mib(), 1),
            **device_facts(tools.devices),
        },
    )
    record.write(job.folder.record_path(job.stages[-1], shard.number))
    return record


@dataclass(frozen=True)
class _Tools:
    """What a worker builds once."""

    model: MorphableModel
    sampler: Sampler
    denoise: DenoiseStage
    compose: ComposeStage
    active: tuple[str, ...]
    """Of the stages that make samples, those that have something to do."""
    render: RenderStage
    spec: DatasetSpec
    devices: tuple[str, ...]
    """What torch computes on, as it names it."""

    def last_before(self, stage: str) -> str:
        """The stage whose samples ``stage`` takes."""
        return [name for name in self.active if STAGES.index(name) < STAGES.index(stage)][-1]


_built: dict[tuple[str, str], _Tools] = {}


def _tools(job: Job) -> _Tools:
    """The tools of this process for a job: built at its first shard, replaced when another job comes."""
    key = (job.fingerprint, json.dumps(job.configuration, sort_keys=True))
    if key not in _built:
        for old in _built.values():
            old.render.close()
        _built.clear()
        config = validate(RunConfig, job.configuration, source="run.yaml")
        model = load_model(config.model)
        height, width = config.render.height_width
        sampler = Sampler(config.sample, model, height, width, config.seed)
        denoise = denoise_stage(config, model)
        compose = compose_stage(config, model, sampler, denoise)
        found = run_fingerprint(config, model, denoise.provenance, compose.provenance)
        if found != job.fingerprint:
            raise DatasetError(
                f"on {platform.node()} the model, the weights, the recordings, the background images or the "
                "environment maps of the run have other contents than where it was started"
            )
        does = {"sample": True, "denoise": config.denoise.active, "compose": config.compose.active}
        _built[key] = _Tools(
            model=model,
            sampler=sampler,
            denoise=denoise,
            compose=compose,
            active=tuple(name for name, something in does.items() if something),
            render=RenderStage(config.render, model),
            spec=dataset_spec(config, model, job.fingerprint, denoise.provenance, compose.provenance),
            devices=(
                *(stage.device for stage in (config.denoise, config.compose) if stage.active),
                *([config.render.device] if config.render.backend == "torch" else []),
            ),
        )
    return _built[key]


def run_fingerprint(
    config: RunConfig,
    model: MorphableModel,
    denoisers: Mapping[str, Mapping[str, Any]],
    composer: Mapping[str, Any],
) -> str:
    """The fingerprint of a run whose tools are built.

    Its recordings, background images and environment maps are read for their digests.

    Raises:
        CaptureError: when a recording cannot be read.
        BackgroundError: when a folder of background images or a file in it cannot be read.
        LightError: when a folder of environment maps or a file in it cannot be read.
    """
    recordings = [_sha256(expand(path, "sample.expression.recordings")) for path in recording_paths(config.sample)]
    backgrounds, environments = folder_digests(config.render.background), environment_digests(config.sample.light)
    return fingerprint(config, model, recordings, denoisers, composer, backgrounds, environments)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CaptureError(f"{path}: cannot be read ({error.strerror})") from None


def denoise_stage(config: RunConfig, model: MorphableModel) -> DenoiseStage:
    """The denoise stage of a run.

    Raises:
        ConfigurationError, WeightsError: as :class:`~facegen.stages.denoise.stage.DenoiseStage`.
    """
    drawn = config.sample.gaze.source == "drawn"
    return DenoiseStage(config.denoise, model, config.seed, cells=config.sample.cells, gaze_drawn=drawn)


def compose_stage(config: RunConfig, model: MorphableModel, sampler: Sampler, denoise: DenoiseStage) -> ComposeStage:
    """The compose stage of a run, whose partners are drawn and denoised as its faces are.

    Raises:
        ConfigurationError, WeightsError, ModelError: as :class:`~facegen.stages.compose.stage.ComposeStage`.
    """

    def people(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        return denoise.identities(sampler.identities(numbers), numbers)

    return ComposeStage(config.compose, model, config.seed, people)


def dataset_spec(
    config: RunConfig,
    model: MorphableModel,
    fingerprint: str,
    denoisers: Mapping[str, Mapping[str, Any]],
    composer: Mapping[str, Any],
) -> DatasetSpec:
    """The description of the packed dataset of a run."""
    height, width = config.render.height_width
    return DatasetSpec(
        faces=config.faces,
        shard_size=config.shard_size,
        height=height,
        width=width,
        identity=len(model.identity_names),
        expression=len(model.expression_names),
        albedo=len(model.albedo_names),
        topology=model.topology,
        model_name=model.name,
        model_sha256=model.sha256,
        seed=config.seed,
        fingerprint=fingerprint,
        channels=config.pack.channels,
        effects=config.render.effects.names,
        lights=light_count(config.sample.light),
        objects=config.render.objects.any,
        annotate=cache(partial(annotate, model)),
        map_size=0 if config.render.maps is None else config.render.maps.size,
        denoisers=denoisers,
        composer=composer,
        compression_level=config.pack.compression_level,
    )


def _stored_channels(tools: _Tools, samples: Samples, renders: Renders) -> dict[str, NDArray[np.generic]]:
    """Those per-pixel channels that the configuration wants stored, (B, H, W, …) each; zero for failed faces."""
    names = tools.spec.channels
    height, width = tools.spec.height, tools.spec.width
    result: dict[str, NDArray[np.generic]] = {name: CHANNELS[name].zeros(len(renders), height, width) for name in names}
    layers = tools.spec.annotate().layers if "layers" in names else None
    for row in np.flatnonzero(renders.valid) if names else ():
        topology = tools.model.topology
        mesh = CameraMesh.from_model(renders.vertices[row], topology.triangles, samples.extrinsics[row])
        occluder = None if renders.occluder is None else renders.occluder[row]
        channels = rebuild(names, topology, mesh, renders.triangle_id[row], renders.barycentric[row], layers, occluder)
        for name in names:
            result[name][row] = channels[name]
    return result


def _failures(renders: Renders | None) -> tuple[FailedFace, ...]:
    if renders is None:
        return ()
    return tuple(
        FailedFace(int(renders.face[row]), "render", str(renders.reason[row])) for row in np.flatnonzero(~renders.valid)
    )


def _write(folder: RunFolder, stage: str, shard: Shard, arrays: Arrays) -> FileRecord:
    """Write a stage's arrays as .npz: uncompressed, dated 1980, so that equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays.as_dict())
    data = buffer.getbuffer()
    path = folder.stage_file(stage, shard.number)
    write_atomically(path, data)
    relative = path.relative_to(folder.path).as_posix()
    return FileRecord(relative, len(data), hashlib.sha256(data).hexdigest())


def _read(job: Job, stage: str, shard: Shard, kind: type[A]) -> A:
    """What ``stage`` wrote for a shard, checked against its record."""
    record = read_record(job.folder.record_path(stage, shard.number))
    path = job.folder.stage_file(stage, shard.number)
    if record is None:
        raise DatasetError(f"stage '{stage}' has not made it; run 'facegen {stage}' first")
    if record.fingerprint != job.fingerprint or (record.first_face, record.faces) != (shard.first_face, shard.faces):
        raise DatasetError(f"{path} is of another run; run 'facegen {stage}' again")
    problem = file_problem(path, record.files[0])
    if problem:
        raise DatasetError(f"{path} {problem}; run 'facegen {stage}' again")
    with np.load(path, allow_pickle=False) as file:
        return kind.from_dict({name: file[name] for name in file.files})


class Times:
    """Seconds that the stages of a shard took."""

    def __init__(self) -> None:
        self.processor: dict[str, float] = {}
        """Of the processor, by stage."""
        self.elapsed: dict[str, float] = {}
        """Of the clock on the wall, by stage."""

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """What is done inside counts as ``stage``."""
        processor, elapsed = time.process_time(), time.perf_counter()
        yield
        self.processor[stage] = round(time.process_time() - processor, 4)
        self.elapsed[stage] = round(time.perf_counter() - elapsed, 4)


def device_facts(devices: Iterable[str]) -> dict[str, Any]:
    """What computed, and the most GPU memory that this process has used: ``device``, and ``device_mib`` on a GPU."""
    gpus = [device for device in devices if device.startswith("cuda")]
    if not gpus:
        return {"device": "cpu"}
    return {
        "device": torch.cuda.get_device_name(gpus[0]),
        "device_mib": round(torch.cuda.max_memory_allocated(gpus[0]) / 2**20, 1),
    }


def resident_mib() -> float:
    """Resident memory of this process, MiB."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[1])
        return pages * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
