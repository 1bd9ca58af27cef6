"""rcd-gate: the only code that changes the gateway's network."""
