"""The STUN Binding server (RFC 5389, RFC 8489)."""
