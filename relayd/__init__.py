"""The WebSocket relay: joins the two legs of a channel and copies sealed packets."""
