"""Which expression weights make sense together."""

from __future__ import annotations

import numpy as np

from facegen.morphable.model import Float, MorphableModel


def within_limits(model: MorphableModel, expression: Float) -> Float:
    """Expression coefficients (B, Ke) within the model's bounds and with a ≤ b for its pairs (a, b).

    Of a pair that is out of order the first weight is lowered to the second. The argument is not changed. This is as
    near to a performance as the model comes; what is drawn has to :func:`respect_limits`.
    """
    low, high = model.expression_bounds
    result = np.clip(expression, low, high).astype(np.float32)
    for first, second in model.expression_limits:
        a, b = model.expression_names.index(first), model.expression_names.index(second)
        result[:, a] = np.minimum(result[:, a], result[:, b])
    return result


def respect_limits(model: MorphableModel, expression: Float) -> Float:
    """Expression coefficients (B, Ke) :func:`within_limits` and switched.

    What is shown whole or not at all becomes 1 from weight 1/2 on where the others make room for it, and 0 elsewhere.
    The argument is not changed.
    """
    result = within_limits(model, expression)
    for switch in model.expression_switches:
        column = model.expression_names.index(switch.name)
        room = np.zeros(len(result))
        for name, share in switch.room:
            room += share * result[:, model.expression_names.index(name)]
        shown = (result[:, column] >= 0.5) & (room >= switch.needed)
        result[:, column] = np.where(shown, 1, np.minimum(result[:, column], 0))
    return result
