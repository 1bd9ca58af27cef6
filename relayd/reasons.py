"""The closed sets of what the relay gives up, one counter per member (see `metrics`)."""

from __future__ import annotations

from enum import StrEnum


class DropReason(StrEnum):
    """Why a message did not reach the other leg."""

    NO_PARTNER = "no_partner"  # the other leg was not there
    QUEUE_FULL = "queue_full"  # the other leg read too slowly; the oldest data went
    FIRST_LANE_FULL = "first_lane_full"  # the same, among handshakes and SIGNAL
    LEG_CLOSED = "leg_closed"  # it waited for a leg that ended


class RefusedAccept(StrEnum):
    """Why a connection was closed before anything was read from it."""

    RATE = "rate"  # all connections together
    ADDRESS = "address"  # too many of its address are not admitted yet
    NO_DESCRIPTOR = "no_descriptor"  # this process has no file descriptor left
