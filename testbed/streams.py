"""What the lines of a `stream` tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbed.waiting import until

if TYPE_CHECKING:
    from testbed.process import Process

IN_A_ROW: Final = 10
"""Messages without an answer; one alone may be a busy machine's."""


def is_silent(stream: Process) -> bool:
    said = [each["event"] for each in stream.messages() if each["event"] != "ready"]
    return len(said) > IN_A_ROW and set(said[-IN_A_ROW:]) == {"silence"}


def await_silence(stream: Process, timeout_s: float) -> float:
    """Wait until no answer comes any more; return when the last one came, in ms since 1970."""
    until(lambda: is_silent(stream), timeout_s + 2, "the stream to fall silent")
    return max(float(each["at_ms"]) for each in stream.messages() if each["event"] == "answer")
