"""German and English for users, organisations and the record."""

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
    "role_change": ("Rolle ändern", "Change the role"),
    "role_change_text": (
        (
            "Gilt sofort: Der Benutzer meldet sich neu an, und offene Sitzungen, die er so nicht "
            "starten dürfte, enden."
        ),
        (
            "Holds at once: the user logs in anew, and open sessions that the new role could not "
            "start end."
        ),
    ),
    "user_unlink_text": (
        (
            "Mit diesem Konto meldet sich der Benutzer an. Gelöst öffnet es nichts mehr, und wer "
            "angemeldet ist, wird abgemeldet."
        ),
        "This account lets the user in. Once removed it opens nothing, and present logins end.",
    ),
    "user_no_providers": (
        "Kein Konto eines anderen Anmeldedienstes öffnet dieses hier.",
        "No account of another login service opens this one.",
    ),
    "disable": ("Sperren", "Disable"),
    "disable_text": (
        "Beendet sofort alle Anmeldungen und Sitzungen. Was war, bleibt im Protokoll.",
        "Ends all logins and sessions at once. What was stays on record.",
    ),
    # Organisations.
    "organisation": ("Organisation", "Organisation"),
    "organisations": ("Organisationen", "Organisations"),
    "organisation_text": (
        "Ihr gehören die Benutzer und Anlagen hier; ihren Namen sieht jede Anlage.",
        "It has the users and gateways here; every plant sees its name.",
    ),
    "organisations_text": (
        (
            "Jede hat eigene Benutzer, Anlagen und ein eigenes Protokoll; keine sieht etwas von "
            "einer anderen. Anlagen sehen den Namen."
        ),
        (
            "Each has users, gateways and a record of its own; none sees anything of another. "
            "Plants see the name."
        ),
    ),
    "organisation_operator": ("betreibt dieses Portal", "runs this portal"),
    "organisation_made": (
        "{organisation}: Einmal-Passwort für {name}. Es steht nur hier:",
        "{organisation}: one-time password for {name}. It is shown here only:",
    ),
    "add_organisation": ("Organisation anlegen", "Add an organisation"),
    "add_organisation_text": (
        "Mit ihrem ersten Administrator; alles Weitere macht er selbst.",
        "With its first administrator, who does everything else.",
    ),
    "first_administrator": ("Benutzername des Administrators", "User name of the administrator"),
    "rename": ("Umbenennen", "Rename"),
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
