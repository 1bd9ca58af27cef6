"""`rcd`: run the gateway daemon."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rcd.access_store import AccessStore, boot_id
from rcd.audit_heads import AuditHeads
from rcd.config import DEFAULT_PATH, RcdConfig
from rcd.daemon import Daemon
from rcd.journal import Journal
from rcd.local_api import LocalApi
from rcd.records import Records
from rcd.verify_journal import COMMAND
from rcd.verify_journal import main as verify_journal
from rclib.runtime.local import serve_local
from rclib.runtime.service import Service, run_service
from rclib.tunnel.audit_spool import AuditSpool
from rclib.tunnel.enrolment import load_enrolment, load_or_make_identity
from rclib.tunnel.pins import Pins
from rclib.tunnel.uplink import open_uplink

if TYPE_CHECKING:
    from rclib.runtime.context import Context


async def run(config: RcdConfig, ctx: Context) -> None:
    state = Path(config.state_dir)
    identity = load_or_make_identity(state)
    uplink = open_uplink(config.ca_file, config.proxy, config.proxy_login)
    access = AccessStore(state / "access.json", boot_id())
    if access.damage:
        ctx.log.error("access_state_damaged", reason=access.damage, effect="OFF")
    journal = Journal(state, identity)
    heads = AuditHeads(state / "audit-heads.jsonl")
    records = Records(AuditSpool(state / "audit.spool"), journal, heads, ctx.log)
    pins = Pins(state / "pins.json")
    daemon = Daemon(
        config,
        ctx,
        identity=identity,
        access=access,
        records=records,
        pins=pins,
        uplink=uplink,
    )
    daemon.link.enrolment = load_enrolment(state)
    await ctx.serve_status(config.status)
    listening, api = asyncio.Event(), LocalApi(daemon, records, journal, state, uplink)
    server = ctx.tasks.create_task(
        serve_local(
            Path(config.socket),
            api.serve,
            allowed_uids=None,
            group=config.socket_group,
            stopping=ctx.stopping,
            listening=listening,
            program="rcd",
        )
    )
    ctx.tasks.create_task(listening.wait()).add_done_callback(
        lambda _: ctx.ready(f"access is {access.state.mode}")
    )
    await daemon.run()
    await server


def main() -> int:
    if sys.argv[1:2] == [COMMAND]:
        return verify_journal(sys.argv[2:])
    return run_service(Service("rcd", __doc__ or "", RcdConfig, run, DEFAULT_PATH))


if __name__ == "__main__":
    sys.exit(main())
