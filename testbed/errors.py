class BedError(Exception):
    """The testbed could not do what it was asked; the text says what, why and what to do."""


class WaitTimeoutError(BedError):
    """Something awaited did not happen before its deadline."""
