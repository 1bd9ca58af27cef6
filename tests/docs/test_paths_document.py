"""docs/paths.md gives the regions' figures that the code holds."""

from __future__ import annotations

import re
from pathlib import Path

from controld import regions as choice
from rcd import regions as measuring

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "paths.md"
NO_FIGURE = {"TLS_PORT", "TYPE_CHECKING"}


def test_the_regions_figures_are_the_codes() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text.split("## Regions\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([0-9.]+) \|", section, re.MULTILINE)
    said = {name: float(value) for name, value in rows}
    held = {
        name: float(value)
        for module in (measuring, choice)
        for name, value in vars(module).items()
        if name.isupper() and name not in NO_FIGURE
    }
    assert said == held
