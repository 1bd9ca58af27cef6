from __future__ import annotations

import errno

from rclib.tunnel.gate_errors import MAX_DETAIL, GateRefused, no_privilege, system_fault
from rclib.wire.gate import GateError, GateFailed, GateReply, decode_frame, encode


def test_a_long_detail_still_fits_the_wire() -> None:
    refused = GateRefused(GateError.SYSTEM, "x" * 2 * MAX_DETAIL)
    frame = GateReply(1, GateFailed(refused.error, refused.detail))
    assert decode_frame(encode(frame)) == frame


def test_a_missing_privilege_says_how_to_get_it() -> None:
    refused = system_fault("switching", PermissionError(errno.EPERM, "not permitted"))
    assert refused.error is GateError.NO_PRIVILEGE
    assert refused.detail == no_privilege("switching").detail
    assert "CAP_NET_ADMIN" in refused.detail


def test_any_other_fault_is_the_systems() -> None:
    refused = system_fault("switching", OSError(errno.EIO, "Input/output error"))
    assert refused.error is GateError.SYSTEM
    assert refused.detail == "switching: Input/output error"
