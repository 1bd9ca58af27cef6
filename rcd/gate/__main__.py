"""rcd-gate: the only code that changes the gateway's network. `rcd-gate close` undoes all of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rcd.gate.config import DEFAULT_PATH, RcdGateConfig
from rcd.gate.gateway import GatewayEnd
from rclib.runtime.service import Context, Service, run_service
from rclib.tunnel.gate_netlink import Netlink
from rclib.tunnel.gate_service import CLOSE_COMMAND, close_gate, run_gate

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
    )
    await run_gate(_PROGRAM, end, netlink, config, ctx)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == [CLOSE_COMMAND]:
        return close_gate(_PROGRAM, GatewayEnd(Netlink(), plant_networks=()))
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


if __name__ == "__main__":
    sys.exit(main())
