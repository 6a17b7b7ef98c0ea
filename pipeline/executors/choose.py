"""From a configuration block to an executor."""

from __future__ import annotations

from pathlib import Path

from facegen.pipeline.executors.base import Executor, Task
from facegen.pipeline.executors.config import DaskConfig, LocalConfig, SlurmConfig


def make_executor(config: LocalConfig | DaskConfig | SlurmConfig, task: Task, run: Path) -> Executor:
    """Start the executor that a configuration asks for.

    Args:
        config: which one, and how many workers.
        task: what makes a shard.
        run: the run folder, which all workers must see.

    Raises:
        MissingDependencyError: when an optional package is needed; the message has the command that installs it.
        WorkerError: when no worker can be started or reached.
    """
    # Imported late: Dask takes a second, and SLURM's package is optional.
    if isinstance(config, LocalConfig):
        if config.workers == 0:
            from facegen.pipeline.executors.inline import InlineExecutor

            return InlineExecutor(task)
        from facegen.pipeline.executors.local import LocalExecutor

        return LocalExecutor(config, task)
    if isinstance(config, DaskConfig):
        from facegen.pipeline.executors.dask import dask_executor

        return dask_executor(config, task, run)
    from facegen.pipeline.executors.slurm import slurm_executor

    return slurm_executor(config, task, run)
