"""Other people's packet filter rules that appeared while a session is open. Pure.

None of them can let a packet past our own chains: what those drop is dropped, whoever accepts it.
But a rule that accepts, translates or diverts what crosses the gateway was not there when the
session was released, and nobody can say what for. Rules that only count, log or drop are no
concern of ours, and neither are those for the gateway's own traffic.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

JsonObject: TypeAlias = dict[str, Any]

_CROSSING: Final = frozenset({"ingress", "prerouting", "forward"})
"""Hooks that packets on their way through the gateway meet."""
_HARMLESS: Final = frozenset(
    {"match", "counter", "log", "limit", "quota", "drop", "reject", "return", "continue"}
)
_LEADS_ON: Final = frozenset({"jump", "goto"})


class ForeignRule(NamedTuple):
    """One rule or flow table, wherever it stands in its chain."""

    family: str
    table: str
    name: str
    """The chain's, or the flow table's."""
    text: str
    """Canonical JSON."""

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}: {self.text}"


def deciding(objects: Iterable[JsonObject], own_table: str) -> frozenset[ForeignRule]:
    """Read `nft --json list ruleset`, without what moves by itself, for rules that decide."""
    chains: dict[tuple[str, str, str], list[list[JsonObject]]] = {}
    reached: list[tuple[str, str, str]] = []
    found: set[ForeignRule] = set()
    for kind, each in ((kind, each) for item in objects for kind, each in item.items()):
        if kind not in {"chain", "rule", "flowtable"} or each["table"] == own_table:
            continue
        family, table = each["family"], each["table"]
        match kind:
            case "chain":
                if each.get("hook") in _CROSSING:
                    reached.append((family, table, each["name"]))
            case "rule":
                chains.setdefault((family, table, each["chain"]), []).append(each["expr"])
            case _:
                text = json.dumps(each, sort_keys=True)
                found.add(ForeignRule(family, table, each["name"], text))
    seen: set[tuple[str, str, str]] = set()
    while reached:
        place = reached.pop()
        if place in seen:
            continue
        seen.add(place)
        for statements in chains.get(place, ()):
            reached.extend((*place[:2], target) for target in _targets(statements))
            if any(not _is_harmless(statement) for statement in statements):
                found.add(ForeignRule(*place, json.dumps(statements, sort_keys=True)))
    return frozenset(found)


def appeared(before: frozenset[ForeignRule], now: frozenset[ForeignRule]) -> str | None:
    """Say which rule is new; None: no rule is."""
    new = now - before
    return f"a foreign rule appeared in {min(new)}" if new else None


def _targets(statements: Iterable[JsonObject]) -> Iterator[str]:
    for statement in statements:
        for verb in _LEADS_ON & statement.keys():
            yield statement[verb]["target"]


def _is_harmless(statement: JsonObject) -> bool:
    return statement.keys() <= _HARMLESS | _LEADS_ON
