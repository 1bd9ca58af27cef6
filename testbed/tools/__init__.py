"""Programs that run in the hosts. Each prints JSON lines, `ready` first."""
