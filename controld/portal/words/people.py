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
        "Jede Zeile ist mit der vorigen verkettet; die Gateways bewahren Unterschriften auf.",
        "Each row is chained to the one before; the gateways keep signatures over them.",
    ),
    "at": ("Wann", "When"),
    "actor": ("Wer", "Who"),
    "action": ("Was", "What"),
    "detail": ("Einzelheiten", "Detail"),
    "no_records": ("Keine älteren Einträge.", "No older entries."),
    "chain": ("Ist es vollständig?", "Is it whole?"),
    "chain_rows": ("Zeilen", "Rows"),
    "chain_signed": ("Unterschrieben", "Signed"),
    "chain_signed_to": ("bis Zeile {row}, um {time}", "up to row {row}, at {time}"),
    "chain_unsigned": ("noch nichts", "nothing yet"),
    "chain_check": ("Jetzt prüfen", "Check now"),
    "chain_whole": (
        "Vollständig: {rows} Zeilen, wie sie geschrieben wurden.",
        "Whole: {rows} rows as they were written.",
    ),
    "chain_broken": ("Nicht vollständig, ab Zeile {row}:", "Not whole, from row {row} on:"),
    "export": ("Ausleiten", "Export"),
    "export_text": (
        "Alle Zeilen, jede mit ihrer Prüfsumme. Ohne Tage: alles.",
        "All rows, each with its hash. Without days: everything.",
    ),
    "format": ("Format", "Format"),
    "export_button": ("Herunterladen", "Download"),
}
