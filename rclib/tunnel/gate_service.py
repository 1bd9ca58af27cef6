"""What both gates' programs are made of: configuration, run, and the command `close`."""

from __future__ import annotations

import asyncio
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from rclib.runtime.config import Config
from rclib.runtime.errors import StartError
from rclib.tunnel.gate_errors import GateRefused
from rclib.tunnel.gate_server import GateServer
from rclib.tunnel.gate_sessions import Gate

if TYPE_CHECKING:
    from rclib.runtime.context import Context
    from rclib.tunnel.gate_end import GateEnd
    from rclib.tunnel.gate_netlink import Netlink

CLOSE_COMMAND: Final = "close"

WIREGUARD_MISSING = "wireguard_missing"


class GateConfig(Config, frozen=True, kw_only=True):
    """Keys both gates have; who runs the gate decides whom it serves."""

    socket: str
    allowed_users: tuple[str, ...]
    """Accounts that may control this gate, by name or number."""
    socket_group: str | None = None
    """Group that may connect; the allowed accounts belong to it."""
    max_sessions: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16


async def run_gate(
    program: str,
    end: GateEnd,
    netlink: Netlink,
    config: GateConfig,
    ctx: Context,
    *,
    max_controllers: int = 1,
) -> None:
    """Serve until the context stops. Raises StartError and GateRefused."""
    uids = _uids(config.allowed_users)
    end.rehearse()
    gate = Gate(end, netlink, ctx.log, max_sessions=config.max_sessions)
    server = GateServer(gate, ctx, max_controllers=max_controllers)
    listening = asyncio.Event()
    serving = ctx.tasks.create_task(
        server.run(
            Path(config.socket),
            allowed_uids=uids,
            group=config.socket_group,
            program=program,
            listening=listening,
        )
    )
    await listening.wait()
    try:
        backend = await server.backend()
    except GateRefused as exc:
        # Said again to whoever wants a session: WireGuard may be installed meanwhile.
        ctx.log.warning(WIREGUARD_MISSING, reason=exc.detail)
        backend = "none"
    ctx.ready(f"closed; WireGuard: {backend}")
    await serving


def close_gate(program: str, end: GateEnd) -> int:
    """Remove everything this end ever put up; returns the exit status.

    For after a crash, and for people: needs no configuration and no running gate.
    """
    try:
        end.sweep()
    except GateRefused as exc:
        sys.stderr.write(f"{program} {CLOSE_COMMAND}: {exc.detail}\n")
        return 1
    return 0


def _uids(users: tuple[str, ...]) -> frozenset[int]:
    return frozenset(_uid(user) for user in users)


def _uid(user: str) -> int:
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise StartError(
            f"allowed_users: there is no account {user!r} on this machine; create it with "
            f"`useradd --system {user}` or name the account that is to control the gate"
        ) from None
