"""At least once there, exactly once handled: the bookkeeping of both ends of a control link.

Outbox keeps what the other end has not acknowledged, Inbox remembers what was handled. Both
outlive a link: a message unanswered on one link is repeated on the next.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from rclib.wire.link import Message

if TYPE_CHECKING:
    from rclib.wire.control import Body
    from rclib.wire.ids import MessageId

MAX_UNACKED: Final = 1024
REMEMBERED: Final = 4096


class OutboxFullError(Exception):
    """The other end has acknowledged nothing for MAX_UNACKED messages: the link is dead."""


class Outbox:
    """Messages under way, in the order they were added."""

    def __init__(self) -> None:
        self._unacked: OrderedDict[MessageId, Body] = OrderedDict()

    def add(self, message: MessageId, body: Body) -> None:
        if len(self._unacked) >= MAX_UNACKED:
            raise OutboxFullError(f"{MAX_UNACKED} messages unacknowledged")
        self._unacked[message] = body

    def acknowledged(self, message: MessageId) -> Body | None:
        """The body that is now done with; None for an unknown or repeated Ack."""
        return self._unacked.pop(message, None)

    def unacked(self, sent_ms: int) -> list[Message]:
        """Everything to transmit on a new link, stamped with the time of this transmission."""
        return [Message(message, sent_ms, body) for message, body in self._unacked.items()]

    def discard(self, *kinds: type[Body]) -> None:
        """Forget unacknowledged messages that a newer state makes untrue."""
        for message in [m for m, body in self._unacked.items() if isinstance(body, kinds)]:
            del self._unacked[message]

    def __len__(self) -> int:
        return len(self._unacked)


class Inbox:
    """Ids already handled, the newest REMEMBERED of them."""

    def __init__(self) -> None:
        self._handled: OrderedDict[MessageId, None] = OrderedDict()

    def is_new(self, message: MessageId) -> bool:
        """Whether the message is to be handled; either way it is to be acknowledged."""
        return message not in self._handled

    def handled(self, message: MessageId) -> None:
        """Remember a message, after what it asked for is done."""
        self._handled[message] = None
        if len(self._handled) > REMEMBERED:
            self._handled.popitem(last=False)
