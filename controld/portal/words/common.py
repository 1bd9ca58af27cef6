"""German and English for what every page has."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("remoteconnect", "remoteconnect"),
    "other_language": ("English", "Deutsch"),
    "skip": ("Zum Inhalt", "Skip to content"),
    "menu": ("Bereiche", "Sections"),
    "nav_gateways": ("Anlagen", "Gateways"),
    "nav_overview": ("Übersicht", "Overview"),
    "nav_sessions": ("Sitzungen", "Sessions"),
    "nav_users": ("Benutzer", "Users"),
    "nav_record": ("Protokoll", "Record"),
    "nav_computers": ("Meine Rechner", "My computers"),
    "logout": ("Abmelden", "Log out"),
    "cancel": ("Abbrechen", "Cancel"),
    "back": ("Zurück", "Back"),
    "name": ("Name", "Name"),
    "remove": ("Entfernen", "Remove"),
    "none": ("—", "—"),
}
