"""German and English for what every page has."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("Fernzugriff", "Remote access"),
    "other_language": ("English", "Deutsch"),
    "skip": ("Zum Inhalt", "Skip to content"),
    "logout": ("Abmelden", "Log out"),
    "cancel": ("Abbrechen", "Cancel"),
    "back": ("Zurück zur Übersicht", "Back to the overview"),
}
