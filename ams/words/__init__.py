"""Every sentence of the page: German, English. The order is that of `rclib.pages.language`."""

from __future__ import annotations

from typing import Final

from ams.words import check, common, door, gateway, history, problems, sessions, switch

TABLES: Final = tuple(
    each.WORDS for each in (common, door, switch, sessions, gateway, check, history, problems)
)
WORDS: Final[dict[str, tuple[str, str]]] = {
    key: texts for table in TABLES for key, texts in table.items()
}
