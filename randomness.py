"""Counter-based randomness: a face draws the same numbers whatever worker, shard or restart computes it."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, stage: str, group: str, face: int) -> np.random.Generator:
    """The random stream of one face in one stage, for one group of numbers.

    A Philox-4x64 generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") whose key is the seed
    and a hash of the names, and whose counter starts at the face number times 2^128. Streams of different groups are
    independent, so changing the law of one group leaves the others as they are.

    Args:
        seed: 0 … 2^64 - 1; 0 is a seed like any other.
        stage: name of the stage that draws.
        group: name of what is drawn, such as ``"identity"``.
        face: number of the face (or of the identity, for what several images share).
    """
    names = hashlib.blake2b(f"{stage}/{group}".encode(), digest_size=8).digest()
    key = np.array([seed, int.from_bytes(names, "little")], dtype=np.uint64)
    counter = np.array([0, 0, face, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
