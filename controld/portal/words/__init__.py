"""Every sentence of the portal: German, English. The order is that of `rclib.pages.language`."""

from __future__ import annotations

from typing import Final

from controld.portal.words import (
    account,
    common,
    events,
    gateways,
    people,
    policies,
    problems,
    sessions,
)

TABLES: Final = tuple(
    each.WORDS for each in (common, account, gateways, policies, sessions, people, events, problems)
)
WORDS: Final[dict[str, tuple[str, str]]] = {
    key: texts for table in TABLES for key, texts in table.items()
}
