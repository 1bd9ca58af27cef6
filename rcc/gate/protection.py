"""The technician's packet filter as text for `nft`: the plant can answer, no more. Pure."""

from __future__ import annotations

from typing import Final

TABLE: Final = "rcc_gate"
PREFIX: Final = "rct"
"""Every interface whose name starts like this is a tunnel into a plant."""


def table() -> str:
    """Return the whole table; it is the same for every session."""
    return f"""table inet {TABLE} {{
  chain input {{
    type filter hook input priority mangle; policy accept;
    iifname "{PREFIX}*" jump from_tunnel
  }}
  chain from_tunnel {{
    ct direction reply ct state {{ established, related }} counter accept
    counter drop
  }}
  chain forward {{
    type filter hook forward priority mangle; policy accept;
    iifname "{PREFIX}*" counter drop
    oifname "{PREFIX}*" counter drop
  }}
}}
"""
