from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from rclib.tunnel import gate_nft
from rclib.tunnel.gate_generation import LOOKS, Generation
from tests.rclib.tunnel.conftest import inside

if TYPE_CHECKING:
    from testbed.host import Host

TEXT = """
table inet t {
  set timed { type ipv4_addr; flags timeout; timeout 15s; }
  chain c {
    type filter hook forward priority 0; policy accept;
    ip daddr @timed counter accept
  }
}
"""
CHANGES = (
    TEXT,
    "add element inet t timed { 10.0.0.1 }\n",
    "delete element inet t timed { 10.0.0.1 }\nadd element inet t timed { 10.0.0.1 }\n",
    # Nothing differs afterwards, and something did meanwhile.
    "flush chain inet t c\nadd rule inet t c ip daddr @timed counter accept\n",
    "table ip another {\nchain c { type filter hook forward priority 0; }\n}\n",
    "flush ruleset\n",
)


def looks(generation: Generation) -> list[bool]:
    return [generation.wants_a_look() for _ in range(LOOKS + 2)]


SETTLING = [True] * LOOKS + [False] * 2


def every_change() -> None:
    generation = Generation()
    assert looks(generation) == SETTLING
    for change in CHANGES:
        gate_nft.apply(change)
        assert looks(generation) == SETTLING, change


@pytest.mark.netns
def test_after_every_transaction_there_is_something_to_look_at(host: Host) -> None:
    inside(host, every_change)


def looking() -> None:
    gate_nft.apply(TEXT)
    generation = Generation()
    looks(generation)
    gate_nft.list_rules()
    gate_nft.check("delete table inet t\n")
    assert not generation.wants_a_look(), "looking is no reason to look again"
    generation = Generation()
    assert generation.wants_a_look()
    gate_nft.apply("flush ruleset\n")
    assert looks(generation) == SETTLING, "what changed between two looks is looked at twice"


@pytest.mark.netns
def test_without_one_there_is_not(host: Host) -> None:
    inside(host, looking)


def unprivileged() -> None:
    generation = Generation()
    assert looks(generation) == [True] * (LOOKS + 2)


@pytest.mark.netns
def test_a_kernel_that_does_not_say_is_looked_at_always(host: Host) -> None:
    script = f"import runpy; runpy.run_path({__file__!r})['unprivileged']()"
    python = [sys.executable, "-c", script]
    host.run(["setpriv", "--bounding-set=-net_admin", *python], check=True)
