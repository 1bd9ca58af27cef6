"""The service `rcd-gate`: what the command line starts, unless it says `close`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rcd.gate.config import DEFAULT_PATH, RcdGateConfig
from rcd.gate.gateway import GatewayEnd
from rclib.runtime.service import Context, Service, StartError, run_service
from rclib.tunnel.gate_netlink import Netlink
from rclib.tunnel.gate_service import CLOSE_COMMAND, run_gate

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM = "rcd-gate"


async def _run(config: RcdGateConfig, ctx: Context) -> None:
    netlink = Netlink()
    end = GatewayEnd(
        netlink,
        plant_networks=config.networks,
        plant_interfaces=config.plant_interfaces,
        source_nat=config.source_nat,
        routes_for_plant=config.routes_for_plant,
    )
    end.sweep()
    forwards = end.forwards_beside()
    if forwards is not None:
        raise StartError(
            f"{forwards}, so packets pass this machine without any tunnel. If it is a router of "
            "its plant, say routes_for_plant = true in gate.toml; otherwise write 0 to "
            "that file, and find out who switched it on"
        )
    await run_gate(_PROGRAM, end, netlink, config, ctx)


def main(arguments: Sequence[str]) -> int:
    return run_service(
        Service(
            name=_PROGRAM,
            description="Opens and closes the way from tunnels to released machines. "
            f"`{_PROGRAM} {CLOSE_COMMAND}` closes everything, whatever still runs.",
            config_type=RcdGateConfig,
            run=_run,
            default_config_path=DEFAULT_PATH,
        ),
        arguments,
    )
