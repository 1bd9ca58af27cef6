"""rcc-gate: the only code that changes the technician's network. `rcc-gate close` undoes it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rcc.gate.config import DEFAULT_PATH, RccGateConfig
from rcc.gate.technician import TechnicianEnd
from rclib.runtime.service import Context, Service, run_service
from rclib.tunnel.gate_netlink import Netlink
from rclib.tunnel.gate_service import CLOSE_COMMAND, close_gate, run_gate

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROGRAM = "rcc-gate"


async def _run(config: RccGateConfig, ctx: Context) -> None:
    netlink = Netlink()
    end = TechnicianEnd(netlink, own_networks=config.networks)
    # Each session has a process of its own, so that one that crashes takes no other with it.
    await run_gate(_PROGRAM, end, netlink, config, ctx, max_controllers=config.max_sessions)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == [CLOSE_COMMAND]:
        return close_gate(_PROGRAM, TechnicianEnd(Netlink()))
    return run_service(
        Service(
            name=_PROGRAM,
            description="Makes tunnels to released machines. "
            f"`{_PROGRAM} {CLOSE_COMMAND}` removes all of them, whatever still runs.",
            config_type=RccGateConfig,
            run=_run,
            default_config_path=DEFAULT_PATH,
        ),
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
