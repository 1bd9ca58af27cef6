"""German and English for a gateway's policy."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "policy": ("Regeln", "Policy"),
    "policy_change": ("Regeln ändern", "Change the policy"),
    "policy_show": ("Regeln ansehen", "See the policy"),
    "policy_text": (
        "Gilt für jede Sitzung an dieser Anlage. Der Schalter an der Anlage steht über allem.",
        "Holds for every session at this gateway. The switch at the plant stands above it all.",
    ),
    "policy_from_now": (
        "Gilt für jeden Start von jetzt an; was läuft, läuft weiter, wie es begonnen hat.",
        "Holds for every start from now on; what is open goes on as it was started.",
    ),
    "policy_release": ("Wer einem Start zustimmen muss", "Whose word a start needs"),
    "release_open": ("Niemand weiter", "Nobody else's"),
    "release_text_open": (
        "Wer in der Sitzung steht, startet sie, solange die Anlage auf EIN steht.",
        "Whoever the session names starts it, as long as the plant is ON.",
    ),
    "release_four_eyes": ("Vier Augen", "Four eyes"),
    "release_text_four_eyes": (
        "Eine zweite Person der Verwaltung gibt hier im Portal frei.",
        "A second administrator releases it here in the portal.",
    ),
    "release_plant_release": ("Die Anlage", "The plant's"),
    "release_text_plant_release": (
        "Jemand an der Anlage gibt jeden Start auf der AMS-Seite frei.",
        "Somebody at the plant releases every start on the AMS page.",
    ),
    "reason_off": ("Wird nicht gefragt", "Not asked for"),
    "reason_optional": ("Freiwillig", "Optional"),
    "reason_required": ("Pflicht", "Required"),
    "policy_limits": ("Grenzen", "Limits"),
    "max_duration": ("Längste Sitzung", "Longest session"),
    "idle_timeout": ("Endet ohne Datenverkehr nach", "Ends without traffic after"),
    "idle_never": ("nie", "never"),
    "max_sessions": ("Sitzungen zugleich", "Sessions at once"),
    "maintenance": ("Wartungsfenster", "Maintenance windows"),
    "maintenance_text": (
        "Ohne Fenster ist Fernwartung jederzeit möglich, mit Fenstern nur in ihnen.",
        "Without a window, remote maintenance is possible at any time; with windows only in them.",
    ),
    "maintenance_window": ("Fenster {n}", "Window {n}"),
    "maintenance_hint": (
        (
            "Liegt das Ende nicht nach dem Beginn, endet das Fenster am nächsten Tag. Leere Zeilen "
            "zählen nicht; nach dem Speichern kommen neue."
        ),
        (
            "An end that is not later than the beginning is on the next day. Empty rows do not "
            "count; after saving there are new ones."
        ),
    ),
    "maintenance_none": ("jederzeit", "at any time"),
    "time_zone_name": ("Ort, z. B. Europe/Berlin", "Place, e.g. Europe/Berlin"),
    "day_monday": ("Montag", "Monday"),
    "day_tuesday": ("Dienstag", "Tuesday"),
    "day_wednesday": ("Mittwoch", "Wednesday"),
    "day_thursday": ("Donnerstag", "Thursday"),
    "day_friday": ("Freitag", "Friday"),
    "day_saturday": ("Samstag", "Saturday"),
    "day_sunday": ("Sonntag", "Sunday"),
}
