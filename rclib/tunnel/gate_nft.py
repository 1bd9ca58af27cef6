"""One table of the kernel's packet filter, changed in whole transactions by Debian's `nft`.

The table is compared with what was loaded, so that somebody else's change is noticed.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rclib.tunnel.gate_errors import GateRefused, no_privilege
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

_TIMEOUT_S: Final = 5.0
_ABSENT: Final = "No such file or directory"
_PRESENT: Final = "File exists"
_FORBIDDEN: Final = "Operation not permitted"
# What changes by itself or names no rule.
_VOLATILE: Final = frozenset({"handle", "packets", "bytes", "elem"})

Elements: TypeAlias = frozenset[str]
"""A set's elements, each with its parts joined by " . " as nft writes them."""
JsonObject: TypeAlias = dict[str, Any]


class AbsentError(GateRefused):
    """The transaction names a table or an element that is not there; nothing was changed."""


class PresentError(GateRefused):
    """The transaction creates what is there already; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Count:
    """What an element or a rule has counted."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TableState:
    """What a table looks like: what moves by itself stands apart."""

    structure: str
    """Chains, rules and set declarations as canonical JSON."""
    elements: Mapping[str, Elements]
    """By set."""
    counts: Mapping[str, Mapping[str, Count]]
    """Of the elements that count, by set and element."""


class Table:
    """Our table of the family inet. All methods block, for some milliseconds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._loaded: str | None = None

    def install(self, text: str) -> None:
        """Replace the table by the one `text` describes, in one transaction."""
        try:
            # Usually there is none, and a removal would take the kernel longer than all the rest.
            apply(f"create table inet {self.name}\n{text}")
        except PresentError:
            apply(self._removal() + text)
        state = self.read()
        self._loaded = state.structure if state is not None else None

    def remove(self) -> None:
        """Remove the table with everything in it; it need not exist."""
        self.forget()
        apply(self._removal())

    def forget(self) -> None:
        """Expect no table any more: somebody removes it."""
        self._loaded = None

    def read(self) -> TableState | None:
        """Return what the kernel has now; None: there is no such table."""
        try:
            listing = _run(
                ["nft", "--json", "--numeric-protocol", "list", "table", "inet", self.name]
            )
        except AbsentError:
            return None
        return read_state(json.loads(listing))

    def difference(
        self,
        state: TableState | None,
        expected: Mapping[str, Elements],
        *,
        exact: Container[str] = (),
        filled_by_rules: Container[str] = (),
    ) -> str | None:
        """Say how a table that was read differs from ours; None: it does not.

        No set may hold more than `expected`, except those that rules fill; the sets named in
        `exact` may not hold less.
        """
        if state is None:
            return f"the table inet {self.name} is gone"
        if state.structure != self._loaded:
            return f"the rules of table inet {self.name} were changed"
        for name, elements in state.elements.items():
            if name in filled_by_rules:
                continue
            wanted = expected.get(name, frozenset())
            if foreign := elements - wanted:
                return f"set {name} of table inet {self.name} has the element {min(foreign)}"
            if name in exact and (missing := wanted - elements):
                return f"set {name} of table inet {self.name} lacks the element {min(missing)}"
        return None

    def _removal(self) -> str:
        # Deleting what is not there would fail the transaction.
        return f"add table inet {self.name}\ndelete table inet {self.name}\n"


def apply(transaction: str) -> None:
    """Carry out all of a transaction or nothing of it.

    Raises AbsentError, PresentError, or GateRefused where nft or the privilege is missing or the
    kernel refuses.
    """
    _run(["nft", "--file", "-"], transaction)


def check(transaction: str) -> None:
    """Have the kernel judge a transaction and change nothing; raises as `apply` does.

    The modules it takes are loaded then, which on a slow machine is too long for a session's start.
    """
    _run(["nft", "--check", "--file", "-"], transaction)


def list_rules() -> list[JsonObject]:
    """Return everybody's tables, chains and rules, without what moves by itself."""
    listed = json.loads(_run(["nft", "--json", "--terse", "list", "ruleset"]))
    objects: list[JsonObject] = _lasting(listed["nftables"])
    return objects


def read_state(document: JsonObject) -> TableState:
    """Read `nft --json list table`."""
    objects: list[JsonObject] = [each for each in document["nftables"] if "metainfo" not in each]
    listed = {
        described["name"]: tuple(described.get("elem", ()))
        for each in objects
        for kind, described in each.items()
        if kind in {"set", "map"}
    }
    return TableState(
        json.dumps(_lasting(objects), sort_keys=True),
        {name: frozenset(map(_element, each)) for name, each in listed.items()},
        {name: _counts(each) for name, each in listed.items()},
    )


def _counts(elements: Iterable[Any]) -> dict[str, Count]:
    return {
        _element(each): Count(counted["packets"], counted["bytes"])
        for each in elements
        if isinstance(each, dict) and (counted := each.get("elem", {}).get("counter"))
    }


def _element(value: Any) -> str:  # noqa: ANN401 -- JSON of many shapes
    match value:
        case {"elem": {"val": inner}} | {"val": inner}:
            return _element(inner)
        case {"concat": parts}:
            return " . ".join(_element(part) for part in parts)
        case [key, mapped]:
            return f"{_element(key)} : {_element(mapped)}"
        case _:
            return str(value)


def _lasting(value: Any) -> Any:  # noqa: ANN401 -- JSON of many shapes
    match value:
        case dict():
            return {key: _lasting(item) for key, item in value.items() if key not in _VOLATILE}
        case list():
            return [_lasting(item) for item in value]
        case _:
            return value


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise GateRefused(
            GateError.NO_NFT,
            "the program nft is missing, so nothing could be kept shut; "
            "install it: apt install nftables",
        ) from None
    except subprocess.TimeoutExpired:
        raise GateRefused(GateError.SYSTEM, f"nft did not answer within {_TIMEOUT_S:g} s") from None
    except OSError as exc:
        raise GateRefused(GateError.SYSTEM, f"nft does not start: {exc.strerror}") from None
    # Without privilege nft lists nothing and reports success.
    if _FORBIDDEN in done.stderr:
        raise no_privilege("changing the packet filter")
    if done.returncode == 0:
        return done.stdout
    reason = " ".join(done.stderr.split())
    if _ABSENT in done.stderr:
        raise AbsentError(GateError.SYSTEM, f"nft: {reason}")
    if _PRESENT in done.stderr:
        raise PresentError(GateError.SYSTEM, f"nft: {reason}")
    raise GateRefused(GateError.SYSTEM, f"nft refuses the rules: {reason}")
