"""What `rcc` says to the person at the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from rclib.wire.client import ClientState
from rclib.wire.session import EndReason

if TYPE_CHECKING:
    from rclib.wire.client import ClientStatus, Reachable

_REGULAR_ENDS: Final = frozenset(
    (EndReason.TECHNICIAN, EndReason.TIME_OVER, EndReason.ADMINISTRATOR, EndReason.PLANT_KILLED)
)


class Story:
    """Tells each new state once, one line on the terminal."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, status: ClientStatus) -> None:
        sentence = _sentence(status)
        if self._told != sentence:
            self._told = sentence
            say(sentence)


def _sentence(status: ClientStatus) -> str:
    detail = f": {status.detail}" if status.detail else ""
    match status.state:
        case ClientState.REDEEMING:
            return f"making a key for this session{detail}"
        case ClientState.WAITING_FOR_PLANT:
            words = " ".join(status.check_phrase)
            compare = f"; on the phone, read out these six words: {words}" if words else ""
            return f"waiting for the plant's gateway{detail}{compare}"
        case ClientState.OPENING:
            return f"{status.gateway} has answered; opening the tunnel"
        case ClientState.CONNECTING:
            return f"tunnel {status.interface} is open; waiting for the gateway's handshake"
        case ClientState.CONNECTED:
            targets = ", ".join(dict.fromkeys(_called(target) for target in status.targets))
            return f"connected by {status.path.value}; reachable: {targets}"
        case ClientState.ENDED:
            reason = status.refusal or status.end_reason
            return f"ended ({reason.value if reason else 'unknown'}){detail}"


def _called(target: Reachable) -> str:
    if target.use == target.address:
        return f"{target.name} {target.use}"
    if not target.use:
        return f"{target.name} by no address: this computer's networks use {target.address}"
    return f"{target.name} {target.use} (for {target.address}, which is in use here)"


def exit_status(reason: EndReason | None) -> int:
    return 0 if reason in _REGULAR_ENDS else 1


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> int:
    sys.stderr.write(f"rcc: {text}\n")
    return 1
