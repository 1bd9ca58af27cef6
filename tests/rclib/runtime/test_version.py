from __future__ import annotations

import tomllib
from pathlib import Path

from rclib.runtime.version import suite_version


def test_the_installed_version_is_the_one_of_the_project() -> None:
    pyproject = Path(__file__).parents[3] / "pyproject.toml"

    assert suite_version() == tomllib.loads(pyproject.read_text())["project"]["version"]
