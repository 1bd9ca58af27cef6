"""What goes wrong between a program and its gate.

- GateRefused: the gate did not carry a verb out; nothing is left half done.
- GateUnavailable: there is no gate to talk to, or it no longer answers.
"""

from __future__ import annotations

from rclib.runtime.errors import OperatorError
from rclib.wire.gate import GateError

MAX_DETAIL = 500
"""Characters of a detail on the wire (`rclib.wire.session.Text`)."""


class GateRefused(OperatorError):  # noqa: N818 -- named like the answer on the wire
    """The gate did not do it: raised inside the gate, and again in the program that asked."""

    def __init__(self, error: GateError, detail: str) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail[:MAX_DETAIL]


class GateUnavailable(OperatorError):  # noqa: N818 -- states a condition of the other program
    """The gate does not answer; it has closed everything, or does when it notices."""


def system_fault(what: str, exc: OSError) -> GateRefused:
    """Turn an OSError into the refusal it means: a missing privilege, or a fault of the system."""
    if isinstance(exc, PermissionError):
        return no_privilege(what)
    return GateRefused(GateError.SYSTEM, f"{what}: {exc.strerror or exc}")


def no_privilege(what: str) -> GateRefused:
    return GateRefused(
        GateError.NO_PRIVILEGE,
        f"{what}: not permitted; the gate needs CAP_NET_ADMIN, "
        "which its systemd unit gives it (or start it as root)",
    )
