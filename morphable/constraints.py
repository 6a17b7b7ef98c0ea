"""Which expression weights make sense together."""

from __future__ import annotations

import numpy as np

from facegen.morphable.model import Float, MorphableModel


def respect_limits(model: MorphableModel, expression: Float) -> Float:
    """Expression coefficients (B, Ke) within the model's bounds and with a ≤ b for its pairs (a, b).

    Of a pair that is out of order the first weight is lowered to the second. The argument is not changed.
    """
    low, high = model.expression_bounds
    result = np.clip(expression, low, high).astype(np.float32)
    for first, second in model.expression_limits:
        a, b = model.expression_names.index(first), model.expression_names.index(second)
        result[:, a] = np.minimum(result[:, a], result[:, b])
    return result
