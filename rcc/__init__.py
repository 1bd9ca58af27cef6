"""The technician's client."""
