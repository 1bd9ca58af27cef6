from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from rclib.tunnel import gate_nft
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_nft import AbsentError, Table, read_state
from rclib.wire.gate import GateError
from testbed.kernel_state import generation
from tests.rclib.tunnel.conftest import inside

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.host import Host

TEXT = """
table inet t {
  set timed { type ipv4_addr . inet_service; flags timeout; timeout 15s; }
  set lasting { type ifname; }
  chain c {
    type filter hook forward priority 0; policy accept;
    ip daddr . th dport @timed counter accept
  }
}
"""


class TestState:
    def test_what_moves_by_itself_is_left_out(self) -> None:
        def listing(handle: int, packets: int) -> dict[str, object]:
            counter = {"counter": {"packets": packets, "bytes": 9 * packets}}
            return {
                "nftables": [
                    {"metainfo": {"version": "1"}},
                    {"table": {"family": "inet", "name": "t", "handle": handle}},
                    {"rule": {"chain": "c", "handle": handle, "expr": [counter, {"drop": None}]}},
                ]
            }

        assert read_state(listing(1, 0)) == read_state(listing(7, 99))
        other = listing(1, 0)
        other["nftables"][2]["rule"]["expr"] = [{"accept": None}]  # type: ignore[index]
        assert read_state(listing(1, 0)) != read_state(other)

    def test_elements_read_as_nft_writes_them(self) -> None:
        elements = [
            "lan0",
            {"elem": {"val": {"concat": ["rcg0", "10.0.0.1", 6, 502]}, "expires": 14}},
            {"concat": ["rcg0", "10.0.0.2"]},
            ["rcg0", 1240],
        ]
        state = read_state({"nftables": [{"set": {"name": "s", "elem": elements}}]})
        assert state.elements["s"] == {
            "lan0",
            "rcg0 . 10.0.0.1 . 6 . 502",
            "rcg0 . 10.0.0.2",
            "rcg0 : 1240",
        }


def table_life() -> None:
    table = Table("t")
    assert table.read() is None
    table.remove()
    table.install(TEXT)
    table.install(TEXT)
    assert table.difference(table.read(), {}) is None
    gate_nft.apply(
        "add element inet t timed { 10.0.0.1 . 502 }\nadd element inet t lasting { lo }\n"
    )
    expected = {"timed": frozenset({"10.0.0.1 . 502"}), "lasting": frozenset({"lo"})}
    assert table.difference(table.read(), expected, exact={"lasting"}) is None
    gate_nft.apply("delete element inet t timed { 10.0.0.1 . 502 }\n")
    assert table.difference(table.read(), expected, exact={"lasting"}) is None, "it may run out"
    gate_nft.apply("delete element inet t lasting { lo }\n")
    assert "lacks the element lo" in str(
        table.difference(table.read(), expected, exact={"lasting"})
    )
    gate_nft.apply("add element inet t timed { 10.0.0.2 . 502 }\n")
    assert "has the element 10.0.0.2 . 502" in str(table.difference(table.read(), expected))
    gate_nft.apply("add rule inet t c drop\n")
    assert "rules of table inet t were changed" in str(table.difference(table.read(), expected))
    table.remove()
    assert "is gone" in str(table.difference(table.read(), {}))


@pytest.mark.netns
def test_a_table_is_known_and_its_changes_noticed(host: Host) -> None:
    inside(host, table_life)


def transactions() -> None:
    table = Table("t")
    table.install(TEXT)
    renewal = (
        "delete element inet t timed { 10.0.0.1 . 1 }\nadd element inet t timed { 10.0.0.1 . 1 }\n"
    )
    with pytest.raises(AbsentError):
        gate_nft.apply("add element inet t timed { 10.0.0.9 . 9 }\n" + renewal)
    state = table.read()
    assert state is not None
    assert state.elements["timed"] == frozenset(), "all or nothing"
    with pytest.raises(GateRefused, match="nft refuses the rules") as refused:
        gate_nft.apply("add rubbish\n")
    assert refused.value.error is GateError.SYSTEM


@pytest.mark.netns
def test_a_transaction_is_all_or_nothing(host: Host) -> None:
    inside(host, transactions)


def rehearsal() -> None:
    before = generation()
    gate_nft.check(TEXT)
    assert generation() == before
    assert Table("t").read() is None
    # nft itself has nothing against it.
    with pytest.raises(GateRefused, match="Operation not supported"):
        gate_nft.check("table inet t {\nchain c { type nat hook forward priority 0; }\n}\n")


@pytest.mark.netns
def test_a_transaction_is_judged_by_the_kernel_without_being_carried_out(host: Host) -> None:
    inside(host, rehearsal)


def unprivileged() -> None:
    for attempt in (Table("t").read, Table("t").remove, lambda: gate_nft.apply(TEXT)):
        with pytest.raises(GateRefused) as refused:
            attempt()
        assert refused.value.error is GateError.NO_PRIVILEGE


@pytest.mark.netns
def test_without_privilege_nothing_is_taken_for_an_empty_ruleset(host: Host) -> None:
    """Unprivileged, nft lists nothing and reports success."""
    script = f"import runpy; runpy.run_path({__file__!r})['unprivileged']()"
    python = [sys.executable, "-c", script]
    host.run(["setpriv", "--bounding-set=-net_admin", *python], check=True)


def test_a_missing_nft_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GateRefused, match="apt install nftables") as refused:
        gate_nft.apply(TEXT)
    assert refused.value.error is GateError.NO_NFT


def test_an_nft_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = shutil.which("sleep")
    program = tmp_path / "nft"
    program.write_text(f"#!/bin/sh\nexec {sleep} 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gate_nft, "_TIMEOUT_S", 0.2)
    with pytest.raises(GateRefused, match="did not answer"):
        gate_nft.apply(TEXT)
