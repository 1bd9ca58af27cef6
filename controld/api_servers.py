"""What a plant's firewall has to let out, told before anybody is enrolled or lets anybody in."""

from __future__ import annotations

from typing import Final

from controld.api import Call, Open, Route
from rclib.wire.control_http import MAX_SERVERS, SERVERS_PATH, ServerList


async def list_servers(call: Call) -> ServerList:
    """The relays and STUN servers of sessions, and the time of day here; no secret, no account."""
    config = call.services.config
    relays = dict.fromkeys(url for relay in config.relays for url in relay.urls)
    return ServerList(call.now_ms, tuple(relays)[:MAX_SERVERS], config.stun_servers())


ROUTES: Final = (
    Route(
        method="GET", path=SERVERS_PATH, needs=Open.ANYONE, handle=list_servers, gives=ServerList
    ),
)
