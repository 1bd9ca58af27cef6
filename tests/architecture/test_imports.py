"""The import rules of docs/architecture.md, read from the sources and said in sentences."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

ROOT = Path(__file__).resolve().parents[2]
OURS = ("rclib", "controld", "relayd", "stund", "rcd", "ams", "rcc", "testbed")

# package → what of ours it may import besides itself
MAY_IMPORT = {
    "rclib.wire": (),
    "rclib.runtime": (),
    "rclib.pages": ("rclib.runtime",),
    "rclib.tunnel": ("rclib.wire", "rclib.runtime"),
    "stund": ("rclib.wire", "rclib.runtime"),
    "ams": ("rclib.wire", "rclib.runtime", "rclib.pages"),
    "controld": ("rclib.wire", "rclib.runtime", "rclib.pages"),
    "relayd": ("rclib.wire", "rclib.runtime", "rclib.tunnel"),
    "rcd": ("rclib.wire", "rclib.runtime", "rclib.tunnel"),
    "rcc": ("rclib.wire", "rclib.runtime", "rclib.tunnel"),
}

# What a pure module may not import: whatever makes the same input give another output.
IMPURE = frozenset(
    ("asyncio", "socket", "time", "random", "secrets", "os", "logging", "structlog", "subprocess")
)
PURE = (
    "rclib.wire",
    "controld.audit_chain",
    "controld.audit_export",
    "controld.audit_heads",
    "controld.audit_incident",
    "controld.audit_text",
    "controld.login_policy",
    "controld.oidc_url",
    "controld.totp",
    "controld.lifecycle",
    "controld.maintenance",
    "controld.regions",
    "controld.roles",
    "controld.start_rules",
    "rcd.sessions",
    "rcd.refusals",
    "rcd.releases",
    "rcd.commands",
    "rcc.session",
    "rcc.deep_link",
    "rclib.tunnel.path_policy",
    "rclib.tunnel.endpoint_policy",
)

# third-party package → the packages of ours that have one module for it, each
CONFINED = {
    "pyroute2": ("rclib.tunnel",),
    "uvloop": ("rclib.runtime",),
    "winloop": ("rclib.runtime",),
    "picows": ("relayd", "rclib.tunnel"),
    "aioice": ("rclib.tunnel",),
    "argon2": ("controld", "ams"),
    "asyncpg": ("controld",),
    "babel": ("rclib.pages",),
    "pyotp": ("controld",),
    "webauthn": ("controld",),
}


def modules() -> dict[str, Path]:
    found = {}
    for package in OURS:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports_of(path: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def broken_directions(module: str, imported: AbstractSet[str]) -> list[str]:
    owner = next((package for package in MAY_IMPORT if is_in(module, package)), None)
    if owner is None:
        return []
    allowed = (owner, *MAY_IMPORT[owner])
    return [
        f"{module} imports {name}, but {owner} may import only {', '.join(allowed)}"
        for name in sorted(imported - {"rclib"})
        if any(is_in(name, package) for package in OURS)
        and not any(is_in(name, package) for package in allowed)
    ]


def impurities(module: str, imported: AbstractSet[str]) -> list[str]:
    if not any(is_in(module, pure) for pure in PURE):
        return []
    return [
        f"{module} is pure, but imports {name}"
        for name in sorted(imported)
        if name.split(".")[0] in IMPURE
    ]


@pytest.mark.parametrize(("module", "path"), sorted(modules().items()))
def test_a_module_imports_only_what_its_place_allows(module: str, path: Path) -> None:
    imported = imports_of(path)
    assert broken_directions(module, imported) + impurities(module, imported) == []


@pytest.mark.parametrize("library", sorted(CONFINED))
def test_a_library_with_a_strong_flavour_has_one_owner_per_package(library: str) -> None:
    users = [
        module
        for module, path in modules().items()
        if any(is_in(name, library) for name in imports_of(path)) and not is_in(module, "testbed")
    ]
    for module in users:
        owner = next((package for package in CONFINED[library] if is_in(module, package)), None)
        assert owner is not None, (
            f"{module} imports {library}, which belongs to {CONFINED[library]}"
        )
    for owner in CONFINED[library]:
        owned = [module for module in users if is_in(module, owner)]
        assert len(owned) <= 1, f"{library} is used by {owned}; one module of {owner} is to own it"


def test_no_module_takes_the_name_of_a_standard_one() -> None:
    taken = [m for m in modules() if m.split(".")[-1] in sys.stdlib_module_names]
    assert [m for m in taken if not m.endswith("__main__")] == []


def test_the_rules_find_planted_faults() -> None:
    assert broken_directions("stund.server", {"rcd.sessions"})
    assert broken_directions("rclib.wire.relay", {"rclib.runtime.clock"})
    assert broken_directions("ams.pages", {"rclib.tunnel.pins"})
    assert impurities("rcd.sessions", {"time"})
    assert not broken_directions("rcd.daemon", {"rclib.tunnel.pins", "asyncio"})
