"""The denoise stage: from drawn coefficients to those of possible faces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facegen.batch import Samples
from facegen.errors import ConfigurationError
from facegen.morphable.constraints import respect_limits
from facegen.morphable.gaze import lid_columns
from facegen.morphable.model import MorphableModel
from facegen.stages.denoise.config import DenoiseConfig
from facegen.stages.denoise.group import GroupDenoiser

Float = NDArray[np.float32]


class DenoiseStage:
    """Denoises batches of faces of one model. Holds the networks: build once per process."""

    def __init__(
        self, config: DenoiseConfig, model: MorphableModel, seed: int, *, cells: int = 1, gaze_drawn: bool = True
    ) -> None:
        """Read the weights of the groups that are denoised, if any.

        Args:
            config: the denoisers.
            model: whose coefficients are denoised.
            seed: of the run.
            cells: how many consecutive faces share an expression unless it is swept: the cells of the sampler's grid.
            gaze_drawn: whether the lids follow a drawn gaze, rather than the recorded frame that the expression is of.

        Raises:
            ConfigurationError: torch has no such device here, a condition is unknown, or the model lacks the group.
            WeightsError: weights are missing, damaged, untrained, or of another method, group or model.
        """
        if config.active:
            _check_device(config.device)
        self._model = model
        self._cells = cells
        self._lids = lid_columns(model.expression_names) if gaze_drawn else []
        self._identity = (
            GroupDenoiser(config.identity, "identity", model, seed, config.device) if config.identity else None
        )
        self._expression = (
            GroupDenoiser(config.expression, "expression", model, seed, config.device) if config.expression else None
        )

    @property
    def provenance(self) -> dict[str, dict[str, Any]]:
        """Group that is denoised → method, sha256 of the weights, strength; of a posterior sampler its path as well."""
        found = {"identity": self._identity, "expression": self._expression}
        return {group: denoiser.provenance for group, denoiser in found.items() if denoiser}

    def denoise(self, samples: Samples) -> Samples:
        """The faces with the coefficients of possible ones, and those drawn beside them; the same object where no group
        is denoised.

        Images of one person share its identity, faces of one round of the grid their expression.
        """
        if self._identity:
            raw = samples.identity if samples.identity_raw is None else samples.identity_raw
            identity = self.identities(raw, samples.identity_number)
            samples = replace(samples, identity=identity, identity_raw=raw)
        if self._expression:
            raw = samples.expression if samples.expression_raw is None else samples.expression_raw
            expression = self._denoised_expression(self._expression, raw, samples.face // self._cells)
            samples = replace(samples, expression=expression, expression_raw=raw)
        return samples

    def identities(self, raw: Float, numbers: NDArray[np.int64]) -> Float:
        """What becomes of the identity coefficients (B, Ki) of the persons with identity numbers (B,)."""
        return self._identity(raw, numbers) if self._identity else raw

    def _denoised_expression(self, denoiser: GroupDenoiser, raw: Float, numbers: NDArray[np.int64]) -> Float:
        """Denoised expressions (B, Ke) within the model's limits."""
        denoised = denoiser(raw, numbers)
        if denoised is raw:
            return raw
        # The sampler has set them to what the gaze, or the grid, asks for.
        denoised[:, self._lids] = raw[:, self._lids]
        return respect_limits(self._model, denoised)


def _check_device(device: str) -> None:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("denoise.device is 'cuda', and torch finds no GPU on this machine; take 'cpu'")
