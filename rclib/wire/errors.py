"""The one error a wire decoder raises."""


class DecodeError(ValueError):
    """Bytes or a message from outside broke its format.

    Nothing else leaves a decoder: callers catch this one class and no other, and whatever they
    say to the peer or write to a log is built from the two fields.
    """

    place: str
    """Where in the message: the field or the offset, in the words of the protocol's document."""

    reason: str
    """What is wrong there, as a clause that reads well after the place."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"
