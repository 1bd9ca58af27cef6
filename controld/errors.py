"""What a request can run into, apart from bugs and a store that is down.

- DomainError: the request cannot be done; carries a machine-readable `code`.
    - NotFoundError: no such object here, or none this caller may know of.
    - ForbiddenError: the caller's role does not allow it.
    - ConflictError: the object's state does not allow it.
        - ChangedError: somebody else changed it since the caller looked.
    - RevisionMissingError: a change does not say what it was made from.
    - InvalidError: the request contradicts itself or names impossible values.
    - UnauthenticatedError: who asks is unknown, or no longer known.
    - TooManyError: asked too often.
"""

from __future__ import annotations


class DomainError(Exception):
    """`code` is for programs and never changes its meaning; `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class NotFoundError(DomainError):
    def __init__(self, what: str) -> None:
        super().__init__("not_found", f"there is no such {what}")


class ForbiddenError(DomainError):
    pass


class ConflictError(DomainError):
    pass


class ChangedError(ConflictError):
    def __init__(self, what: str) -> None:
        super().__init__("changed_meanwhile", f"somebody changed this {what}; look again")


class RevisionMissingError(DomainError):
    def __init__(self) -> None:
        super().__init__("revision_missing", "send the ETag you changed as If-Match")


class InvalidError(DomainError):
    pass


class UnauthenticatedError(DomainError):
    pass


class TooManyError(DomainError):
    pass
