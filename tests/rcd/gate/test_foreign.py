from __future__ import annotations

from typing import Any

import pytest

from rcd.gate.foreign import appeared, deciding

ACCEPT: Any = {"accept": None}
DNAT: Any = {"dnat": {"addr": "192.168.1.30"}}
COUNT: Any = {"counter": None}
DROP: Any = {"drop": None}
JUMP: Any = {"jump": {"target": "inner"}}


def chain(name: str, hook: str | None = None, table: str = "x") -> dict[str, Any]:
    described: dict[str, Any] = {"family": "inet", "table": table, "name": name}
    return {"chain": described | ({"hook": hook} if hook else {})}


def rule(name: str, *statements: Any, table: str = "x") -> dict[str, Any]:  # noqa: ANN401 -- JSON
    return {"rule": {"family": "inet", "table": table, "chain": name, "expr": list(statements)}}


def new(*objects: dict[str, Any]) -> str | None:
    return appeared(frozenset(), deciding(objects, "rcd_gate"))


@pytest.mark.parametrize("hook", ["ingress", "prerouting", "forward"])
@pytest.mark.parametrize("verdict", [ACCEPT, DNAT, {"notrack": None}, {"flow": {}}, {"xt": None}])
def test_whatever_may_divert_packets_on_their_way_through_is_named(
    hook: str, verdict: dict[str, Any]
) -> None:
    fault = new(chain("c", hook), rule("c", COUNT, verdict))
    assert fault is not None
    assert fault.startswith("a foreign rule appeared in inet x c: ")


def test_a_rule_is_found_wherever_jumps_lead() -> None:
    chains = (chain("c", "forward"), chain("inner"))
    assert new(*chains, rule("c", JUMP), rule("inner", ACCEPT)) is not None
    assert new(*chains, rule("inner", ACCEPT)) is None
    assert new(*chains, rule("c", JUMP), rule("inner", JUMP)) is None


def test_a_flow_table_is_named_because_it_carries_packets_past_all_rules() -> None:
    table = {"flowtable": {"family": "inet", "table": "x", "name": "fast", "dev": "lan0"}}
    assert new(table) is not None


@pytest.mark.parametrize("hook", ["input", "output", "postrouting"])
def test_rules_for_the_gateways_own_traffic_are_its_own_business(hook: str) -> None:
    assert new(chain("c", hook), rule("c", ACCEPT)) is None


def test_rules_that_only_count_or_drop_decide_nothing() -> None:
    assert new(chain("c", "forward"), rule("c", COUNT, DROP)) is None


def test_the_gates_own_table_is_watched_elsewhere() -> None:
    own = "rcd_gate"
    assert new(chain("c", "forward", table=own), rule("c", ACCEPT, table=own)) is None


def test_what_was_there_before_or_is_gone_now_is_no_fault() -> None:
    rules = (chain("c", "forward"), rule("c", ACCEPT))
    before = deciding(rules, "rcd_gate")
    assert appeared(before, before) is None
    assert appeared(before, frozenset()) is None
