"""The control API: users, roles, gateways, devices, sessions, audit."""
