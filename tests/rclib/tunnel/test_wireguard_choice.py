from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from rclib.tunnel.gate_errors import GateRefused, no_privilege
from rclib.tunnel.wireguard_choice import choose_wireguard
from rclib.wire.gate import GateError

if TYPE_CHECKING:
    from pathlib import Path


class Kernel:
    """As much of netlink as shows whether the kernel has WireGuard."""

    def __init__(self, refusal: GateRefused | None) -> None:
        self.refusal = refusal
        self.removed: list[str] = []

    def add_wireguard(self, interface: str) -> None:
        if self.refusal is not None:
            raise self.refusal

    def delete_link(self, interface: str) -> None:
        self.removed.append(interface)


def netlink(refusal: GateRefused | None = None) -> Any:  # noqa: ANN401 -- stands for Netlink
    return cast("Any", Kernel(refusal))


WITHOUT = GateRefused(GateError.NO_WIREGUARD, "the kernel has no WireGuard")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(directory: Path, *names: str) -> None:
    for name in names:
        program = directory / name
        program.write_text("#!/bin/true\n")
        program.chmod(0o755)


def test_the_kernel_comes_first_and_the_probe_goes(programs: Path) -> None:
    kernel = netlink()
    assert choose_wireguard(kernel, "rcg").name == "kernel"
    assert kernel.removed == ["rcg-probe"]


def test_without_it_wireguard_go_is_taken(programs: Path) -> None:
    install(programs, "wireguard-go")
    assert choose_wireguard(netlink(WITHOUT), "rcg").name == "wireguard-go"


def test_with_neither_the_refusal_says_what_to_install(programs: Path) -> None:
    with pytest.raises(GateRefused, match="apt install wireguard-go") as refused:
        choose_wireguard(netlink(WITHOUT), "rcg")
    assert refused.value.error is GateError.NO_WIREGUARD


def test_a_missing_privilege_is_not_taken_for_a_missing_kernel_module(programs: Path) -> None:
    install(programs, "wireguard-go")
    with pytest.raises(GateRefused) as refused:
        choose_wireguard(netlink(no_privilege("creating rcg-probe")), "rcg")
    assert refused.value.error is GateError.NO_PRIVILEGE
