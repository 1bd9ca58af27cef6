from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

import pytest

from rcd.gate.config import RcdGateConfig
from rclib.runtime.config import load_config, render_config
from rclib.runtime.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def load(tmp_path: Path, text: str) -> RcdGateConfig:
    file = tmp_path / "gate.toml"
    file.write_text(text)
    return load_config(RcdGateConfig, file)


def test_the_plants_networks_are_all_it_takes(tmp_path: Path) -> None:
    config = load(tmp_path, 'plant_networks = ["192.168.1.0/24", "fd00:1::/64"]')
    assert config.networks == (IPv4Network("192.168.1.0/24"), IPv6Network("fd00:1::/64"))
    assert config.source_nat
    assert not config.routes_for_plant
    assert 'plant_networks = ["192.168.1.0/24", "fd00:1::/64"]' in render_config(config)


def test_a_gateway_that_names_no_networks_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="plant_networks"):
        load(tmp_path, "")


def test_a_misspelt_key_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plant_network'.*'plant_networks'"):
        load(tmp_path, 'plant_network = ["192.168.1.0/24"]')


@pytest.mark.parametrize("network", ["0.0.0.0/0", "192.168.1.1/24", "lan0", "100.64.0.0/10"])
def test_a_network_that_cannot_bound_anything_is_refused(tmp_path: Path, network: str) -> None:
    with pytest.raises(ConfigError, match=network):
        load(tmp_path, f'plant_networks = ["{network}"]')
