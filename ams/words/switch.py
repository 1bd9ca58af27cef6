"""German and English for the switch: its state, and what turns it."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "off": ("AUS", "OFF"),
    "on": ("EIN", "ON"),
    "on_until": ("EIN bis {time}", "ON until {time}"),
    "closing": ("SCHLIESST", "CLOSING"),
    "unknown": ("UNBEKANNT", "UNKNOWN"),
    "off_text": (
        "Niemand kommt von außen herein. Das Gateway baut keine Verbindung auf.",
        "Nobody gets in from outside. The gateway makes no connection.",
    ),
    "on_text": (
        "Freigegebene Techniker können sich verbinden.",
        "Released technicians can connect.",
    ),
    "on_forever": (
        "Freigegebene Techniker können sich verbinden, bis jemand ausschaltet.",
        "Released technicians can connect until somebody turns it off.",
    ),
    "closing_text": (
        "Ausgeschaltet, aber noch nicht alle Verbindungen sind beendet.",
        "Turned off, but not all connections have ended yet.",
    ),
    "remaining": ("noch {time}", "{time} left"),
    "changed": ("Geändert {time} von {who}", "Changed {time} by {who}"),
    "as_of": ("Stand {time}", "As of {time}"),
    "refresh": ("Aktualisieren", "Refresh"),
    "lost": (
        "Das Gateway antwortet diesem Browser nicht mehr. Was hier steht, ist alt.",
        "The gateway no longer answers this browser. What stands here is old.",
    ),
    "rcd_away": (
        (
            "Der Dienst rcd antwortet nicht; ob der Fernzugriff offen ist, lässt sich nicht sagen. "
            "Ist rcd stehen geblieben, schließt der Kernel alle Verbindungen von selbst, "
            "spätestens um {time}. Wer ganz sicher gehen will, zieht das Internet-Kabel des "
            "Gateways."
        ),
        (
            "The service rcd does not answer; whether remote access is open cannot be said. If rcd "
            "has stopped, the kernel closes all connections by itself, at {time} at the latest. To "
            "be quite sure, unplug the gateway's internet cable."
        ),
    ),
    "gate_away": (
        (
            "Das Tor (Firewall und Tunnel) antwortet nicht. Offene Verbindungen schließt der "
            "Kernel von selbst, spätestens um {time}; neue gibt es nicht."
        ),
        (
            "The gate (firewall and tunnels) does not answer. The kernel closes open connections "
            "by itself, at {time} at the latest; there are no new ones."
        ),
    ),
    "key_switch_on": ("Schlüsselschalter: ein", "Key switch: on"),
    "key_switch_off": (
        "Der Schlüsselschalter steht auf AUS: Es ist zu, bis ihn jemand dreht.",
        "The key switch is OFF: everything stays closed until somebody turns it.",
    ),
    "key_switch_fault": (
        "Der Schlüsselschalter ist nicht lesbar und gilt als AUS: {why}",
        "The key switch cannot be read and counts as OFF: {why}",
    ),
    "switch": ("Schalter", "Switch"),
    "turn_off": ("AUS schalten", "Turn OFF"),
    "turn_off_hint": (
        "Wirkt sofort und beendet alle Verbindungen.",
        "Takes effect at once and ends all connections.",
    ),
    "turn_on_for": ("EIN für", "ON for"),
    "turn_on": ("EIN ohne Ende", "ON without end"),
    "hours": ("{n} Stunden", "{n} hours"),
    "hour": ("1 Stunde", "1 hour"),
    "continue": ("Weiter", "Continue"),
    "confirm_on": ("Fernzugriff einschalten?", "Turn remote access on?"),
    "confirm_on_hours": (
        (
            "Für {duration} können sich freigegebene Techniker mit dieser Anlage verbinden. Danach "
            "schaltet das Gateway von selbst aus."
        ),
        (
            "For {duration}, released technicians can connect to this plant. After that, the "
            "gateway turns off by itself."
        ),
    ),
    "confirm_on_forever": (
        (
            "Freigegebene Techniker können sich mit dieser Anlage verbinden, bis hier jemand "
            "wieder ausschaltet. Besser ist meist eine feste Zeit."
        ),
        (
            "Released technicians can connect to this plant until somebody turns it off here. A "
            "fixed time is mostly better."
        ),
    ),
    "yes_on": ("Ja, EIN schalten", "Yes, turn ON"),
    "done_off": (
        "Ausgeschaltet. Alle Verbindungen sind beendet.",
        "Turned off. All connections have ended.",
    ),
    "done_on": ("Eingeschaltet.", "Turned on."),
}
