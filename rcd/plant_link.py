"""The control link while access is ON, and silence while it is OFF."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from rclib.tunnel.control_link import ControlLink, LinkSettings
from rclib.wire.control import AuditBatch, AuditHead, GatewayState, PathSignal
from rclib.wire.local import LinkState

if TYPE_CHECKING:
    from rclib.runtime.context import Context
    from rclib.tunnel.control_link import LinkHandler
    from rclib.tunnel.enrolment import Enrolment, Identity
    from rclib.tunnel.uplink import Uplink
    from rclib.wire.control import Body

GOODBYE_S: Final = 0.5
"""For the control plane to hear that the plant went OFF, after everything is closed."""

_TOLD_ANEW: Final = (AuditBatch, AuditHead, GatewayState, PathSignal)
"""What is said again on each new link, as it is then."""


class PlantLink:
    """One gateway's link: there is none before it is enrolled, nor while access is OFF."""

    def __init__(
        self, ctx: Context, handler: LinkHandler, *, identity: Identity, uplink: Uplink
    ) -> None:
        # Fixed after construction.
        self._ctx = ctx
        self._handler = handler
        self._identity = identity
        self._uplink = uplink
        # Whether access is ON; what follows is set while it is, and until goodbye is said.
        self._is_wanted = False
        self._link: ControlLink | None = None
        self._task: asyncio.Task[None] | None = None
        self.enrolment: Enrolment | None = None
        self.detail = ""
        """Why it is not up; for people."""

    @property
    def state(self) -> LinkState:
        if self.enrolment is None:
            return LinkState.NOT_ENROLLED
        if self._link is None:
            return LinkState.OFF
        return LinkState.ONLINE if self.is_up else LinkState.CONNECTING

    @property
    def is_up(self) -> bool:
        return self._link is not None and self._link.is_up

    def start(self) -> None:
        """Connect, and reconnect for ever; it need not be stopped."""
        self._is_wanted = True
        if self._task is None and self.enrolment is not None:
            settings = LinkSettings(self.enrolment, self._identity, self._uplink)
            self._link = ControlLink(settings, self._handler, self._ctx.log)
            self._task = self._ctx.tasks.create_task(self._link.run(), name="control-link")

    async def stop(self) -> None:
        """Say goodbye if the link is up, then be silent: OFF means no packet to anyone.

        A start that comes before the goodbye is said is obeyed after it.
        """
        self._is_wanted = False
        link, task = self._link, self._task
        if link is None or task is None:
            return
        await link.flushed(GOODBYE_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._task is not task:
            return  # another stop was quicker, and this may be the next link
        self._link = self._task = None
        if self._is_wanted:
            self.start()

    def tell(self, body: Body) -> None:
        """Without a link there is nobody to tell; the next GatewayState says what is open."""
        if self._link is not None:
            self._link.send(body)

    def begin_anew(self) -> None:
        """Forget what waited for the last link and is told anew on this one."""
        self.detail = ""
        if self._link is not None:
            self._link.discard(*_TOLD_ANEW)
