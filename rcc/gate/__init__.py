"""rcc-gate: the privileged half of the client, tunnel interface and routes."""
