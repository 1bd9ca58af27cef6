"""The tables, by what they are about. `migrations/` builds them; a test compares the two.

Whoever imports one of the modules has all tables in `metadata`.
"""

from controld.schema import endpoints, fleet, people, record, sessions
from controld.schema.base import metadata

__all__ = ["endpoints", "fleet", "metadata", "people", "record", "sessions"]
