"""What all figures share: panels side by side in one PNG, whose bytes depend on what is drawn alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from facegen.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[["Axes"], None]


def need_matplotlib() -> None:
    """Refuse early where matplotlib is missing.

    Raises:
        MissingDependencyError: with the command that installs it.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "figures need matplotlib; install it with: pip install 'facegen[figures]'"
        ) from None  # fmt: skip


def png(panels: list[tuple[str, Draw]], columns: int | None = None) -> bytes:
    """A PNG file of titled panels.

    Args:
        panels: title, and what draws the panel.
        columns: panels a row; all in one row by default.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = columns or len(panels)
    rows = -(-len(panels) // width)
    figure = Figure(figsize=(5.6 * width, 4.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (title, draw) in enumerate(panels):
        axes = figure.add_subplot(rows, width, number + 1)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
        draw(axes)
    buffer = io.BytesIO()
    # Neither date nor version: equal figures have equal bytes.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
