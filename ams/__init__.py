"""The gateway's local page: OFF, ON, ON until, and who is connected."""
