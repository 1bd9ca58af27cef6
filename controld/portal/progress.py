"""How far a start has come, step by step. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from controld.records import OPEN_STATES
from rclib.wire.session import PathKind

if TYPE_CHECKING:
    from controld.api_types import SessionView

_USER_PREFIX: Final = "usr_"


class Step(NamedTuple):
    """One step; `mark` is done, now or next."""

    key: str
    mark: str


def steps_of(session: SessionView) -> list[Step]:
    """From the client that takes over to the direct path; none where nothing is under way."""
    if session.state not in OPEN_STATES:
        return []
    done = {"client": session.client is not None}
    by_plant = session.released_by is not None and not session.released_by.startswith(_USER_PREFIX)
    if session.waits_for_plant or by_plant:
        done["plant"] = not session.waits_for_plant
    done["relay"] = session.path in {PathKind.RELAY, PathKind.DIRECT}
    done["direct"] = session.path is PathKind.DIRECT
    steps: list[Step] = []
    is_next = True
    for key, is_done in done.items():
        steps.append(Step(key, "done" if is_done else "now" if is_next else "next"))
        is_next = is_next and is_done
    return steps
