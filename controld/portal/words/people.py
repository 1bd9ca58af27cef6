"""German and English for users and the record."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    # Users.
    "users": ("Benutzer", "Users"),
    "role": ("Rolle", "Role"),
    "role_administrator": ("Administrator", "Administrator"),
    "role_rc_administrator": ("remoteConnect-Administrator", "remoteConnect Administrator"),
    "role_rc_user": ("remoteConnect-Benutzer", "remoteConnect User"),
    "role_auditor": ("Prüfer", "Auditor"),
    "add_user": ("Benutzer anlegen", "Add a user"),
    "user_made": (
        "Einmal-Passwort für {name}. Es steht nur hier:",
        "One-time password for {name}. It is shown here only:",
    ),
    "disable": ("Sperren", "Disable"),
    "disabled": ("gesperrt", "disabled"),
    # The record.
    "record": ("Protokoll", "Record"),
    "record_text": (
        "Jede Zeile ist mit der vorigen verkettet; „controld audit verify“ prüft alle.",
        "Each row is chained to the one before; “controld audit verify” checks them all.",
    ),
    "at": ("Wann", "When"),
    "actor": ("Wer", "Who"),
    "action": ("Was", "What"),
    "detail": ("Einzelheiten", "Detail"),
    "newer": ("Weiter", "Next"),
    "no_records": ("Keine weiteren Einträge.", "No further entries."),
}
