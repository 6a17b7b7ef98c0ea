"""What happens inside a worker, whoever started it."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable

from facegen.errors import FacegenError, StorageError
from facegen.pipeline.executors.base import Finished, Raised, Task
from facegen.pipeline.shards import Shard

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Read by the numeric libraries when they are loaded."""

_FINAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk says that will say it again."""

_one_at_a_time = threading.Lock()


def prepare_worker() -> None:
    """Make this process a worker: one thread for the numeric libraries, no words of its own.

    Shards are the parallelism, and a product of matrices that one thread computes always has the same bytes.
    """
    # What there is to say of the input, the parent has said.
    logging.getLogger("facegen").setLevel(logging.ERROR)
    # Whoever starts workers sets these before; one that others started may have loaded the libraries without them.
    if any(os.environ.get(name) != "1" for name in THREAD_VARIABLES):
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        single_thread()


def single_thread() -> Callable[[], None]:
    """Let the numeric libraries of this process use one thread; what is returned takes that back."""
    import threadpoolctl
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    limits = threadpoolctl.threadpool_limits(1)

    def take_back() -> None:
        limits.restore_original_limits()
        torch.set_num_threads(before)

    return take_back


def attempt(task: Task, shard: Shard) -> Finished | Raised:
    """Make a shard once, whatever comes of it. A process makes one at a time, however many threads it is given."""
    with _one_at_a_time:
        try:
            return Finished(shard, task(shard))
        except StorageError as error:
            final = isinstance(error.__cause__, OSError) and error.__cause__.errno in _FINAL
            return Raised(shard, describe(error), "storage" if final else "transient")
        except FacegenError as error:
            return Raised(shard, describe(error), "refused")
        except Exception as error:
            return Raised(shard, describe(error), "transient")


def describe(error: Exception) -> str:
    """One line about an exception: its message, and for those of others its class, which may say more."""
    lines = str(error).strip().splitlines()
    if isinstance(error, FacegenError) and lines:
        return lines[0]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
