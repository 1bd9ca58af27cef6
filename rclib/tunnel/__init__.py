"""What both ends of a tunnel share: relay leg, batched UDP, WireGuard, the gate's protocol."""
