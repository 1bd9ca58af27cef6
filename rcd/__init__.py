"""The gateway daemon: control link, session state, relay leg."""
