"""The configuration block ``executor``: who makes the shards. No part of the fingerprint: the bytes are the same."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from facegen.settings import Section


class Patience(Section):
    """What is tried before a shard is given up, and when a worker is replaced."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Times a shard is tried that raises."""
    backoff: Annotated[float, Field(ge=0, le=3600)] = 1.0
    """Seconds before the second attempt; four times as long before each further one."""
    deaths: Annotated[int, Field(ge=1, le=100)] = 3
    """Workers that may die over a shard before it is quarantined in ``failed/``."""
    stall_seconds: Annotated[float, Field(ge=0)] = 1800.0
    """A worker that has had a shard for longer is ended, as if it had died; 0 waits for ever."""
    recycle_shards: Annotated[int, Field(ge=0)] = 0
    """Shards after which a worker is replaced by a fresh one; 0 for never."""
    memory_limit_mib: Annotated[int, Field(ge=0)] = 0
    """Resident memory above which a worker is replaced after its shard; 0 for no limit."""


Gpus = Literal["auto"] | Annotated[int, Field(ge=0, le=1024)]


class LocalConfig(Patience):
    """Processes of this machine."""

    kind: Literal["local"] = "local"
    workers: Annotated[int, Field(ge=0, le=4096)] | None = None
    """Worker processes; 0 makes the shards in this process, where a crash ends the run. One per core unless said."""
    gpus: Gpus = "auto"
    """GPUs shared out among the workers in turn, through ``CUDA_VISIBLE_DEVICES``; ``auto`` takes those there are, 0
    hides them."""


class DaskConfig(Patience):
    """Dask: a cluster of this machine's processes, or one that is running already."""

    kind: Literal["dask"] = "dask"
    scheduler: str | None = None
    """Address of a running scheduler, such as ``tcp://host:8786``; none starts a cluster on this machine."""
    workers: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Worker processes of the cluster that is started: ``workers_per_gpu`` for each GPU, or one per core. With
    ``scheduler``, the most that are used of those there are: all unless said."""
    gpus: Gpus = "auto"
    """GPUs of this machine, one per worker process through ``CUDA_VISIBLE_DEVICES``; ``auto`` takes those there are, 0
    hides them."""
    workers_per_gpu: Annotated[int, Field(ge=1, le=16)] = 1
    """Processes that share a GPU."""
    start_seconds: Annotated[float, Field(gt=0, le=86400)] = 120.0
    """How long to wait for the first worker."""


class SlurmConfig(Patience):
    """A SLURM cluster, through dask-jobqueue: jobs that each start worker processes."""

    kind: Literal["slurm"] = "slurm"
    workers: Annotated[int, Field(ge=1, le=4096)] = 4
    """Worker processes altogether."""
    workers_per_job: Annotated[int, Field(ge=1, le=256)] = 1
    """Worker processes of one job."""
    cores_per_worker: Annotated[int, Field(ge=1, le=256)] = 1
    """Cores a worker; it computes on one, more give it room for reading and writing."""
    memory_per_worker: Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?([kKMGT]i?)?B$")] = "4 GiB"
    """Memory a worker, as ``4 GiB``."""
    gpus_per_job: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs asked for by each job (``--gres=gpu:N``), shared out among its workers."""
    walltime: Annotated[str, Field(pattern=r"^(\d+-)?\d+:\d{2}:\d{2}$")] = "04:00:00"
    """Time limit of a job."""
    partition: str | None = None
    """Partition, or queue."""
    account: str | None = None
    """Account the jobs are charged to."""
    interface: str | None = None
    """Network interface the scheduler listens on, such as ``ib0``."""
    directives: tuple[str, ...] = ()
    """More ``#SBATCH`` lines, such as ``--constraint=a100``."""
    prologue: tuple[str, ...] = ()
    """Shell lines that a job runs first: ``module load``, ``source venv/bin/activate``."""
    log_folder: str | None = None
    """Where the jobs' output goes; the run folder's ``logs`` unless said."""
    start_seconds: Annotated[float, Field(gt=0)] = 86400.0
    """How long to wait in the queue for the first worker."""


ExecutorConfig = Annotated[LocalConfig | DaskConfig | SlurmConfig, Field(discriminator="kind")]
