"""What the gateway's record says of targets and paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclib.wire.audit import MAX_DETAIL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclib.wire.session import PathKind, PathStatus, Target


def path_detail(kind: PathKind, path: PathStatus | None) -> dict[str, str]:
    """What is known of a path when it is taken, for the record."""
    if path is None:
        return {"path": kind.value}
    known = {
        "since_ms": str(path.since_ms),
        "relay": path.relay,
        "region": path.region,
        "own": path.own_endpoint,
        "peer": path.peer_endpoint,
        "rtt_ms": "" if path.rtt_ms is None else f"{path.rtt_ms:g}",
        "mtu": str(path.mtu or ""),
        "detail": path.detail,
    }
    return {"path": kind.value} | {name: value for name, value in known.items() if value}


def spelt(targets: Iterable[Target]) -> str:
    """The targets for the record."""
    text = ", ".join(
        f"{t.name} {t.address} {t.protocol.value}{'' if t.port is None else f'/{t.port}'}"
        for t in targets
    )
    return text if len(text) <= MAX_DETAIL else f"{text[: MAX_DETAIL - 1]}…"
