"""The example of docs/rendering.md runs, and finds what it looks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "docs" / "rendering.md"


def test_example_of_training() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    losses = names["losses"]
    assert losses[-1] < losses[0] / 100
    assert (names["identity"].detach() - names["true_identity"]).abs().max() < 0.25
