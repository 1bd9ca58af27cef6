"""Every sentence of the page, in German and English."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("de", "en")

WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("Fernzugriff", "Remote access"),
    "off": ("AUS", "OFF"),
    "on": ("EIN", "ON"),
    "on_for": ("EIN, noch {time}", "ON for another {time}"),
    "off_text": (
        "Niemand kann von außen zugreifen. Das Gateway baut keine Verbindung auf.",
        "Nobody can get in from outside. The gateway makes no connection.",
    ),
    "on_text": (
        "Freigegebene Techniker können sich verbinden.",
        "Released technicians can connect.",
    ),
    "turn_off": ("Jetzt ausschalten", "Turn off now"),
    "turn_on": ("Einschalten", "Turn on"),
    "unlimited": ("bis ich ausschalte", "until I turn it off"),
    "hours": ("{n} Stunden", "{n} hours"),
    "hour": ("1 Stunde", "1 hour"),
    "confirm_on": ("Fernzugriff wirklich einschalten?", "Really turn remote access on?"),
    "yes_on": ("Ja, einschalten", "Yes, turn on"),
    "cancel": ("Abbrechen", "Cancel"),
    "changed": ("Zuletzt geändert von {who}", "Last changed by {who}"),
    "sessions": ("Gerade verbunden", "Connected right now"),
    "no_sessions": ("Niemand ist verbunden.", "Nobody is connected."),
    "end": ("Beenden", "End"),
    "reason": ("Grund", "Reason"),
    "reaches": ("Erreicht", "Reaches"),
    "path": ("Weg", "Path"),
    "data": ("Daten", "Data"),
    "remaining": ("Restzeit", "Time left"),
    "path_connecting": ("wird aufgebaut", "connecting"),
    "path_relay": ("über Relay", "by relay"),
    "path_direct": ("direkt", "direct"),
    "cloud": ("Verbindung zur Cloud", "Link to the cloud"),
    "link_not_enrolled": ("nicht angemeldet", "not enrolled"),
    "link_off": ("aus", "off"),
    "link_connecting": ("wird aufgebaut", "connecting"),
    "link_online": ("steht", "up"),
    "gate": ("Tor (Firewall und Tunnel)", "Gate (firewall and tunnel)"),
    "gate_ready": ("bereit", "ready"),
    "gate_unreachable": ("antwortet nicht", "does not answer"),
    "fingerprint": ("Fingerabdruck dieses Gateways", "This gateway's fingerprint"),
    "enrol": ("Bei der Cloud anmelden", "Enrol at the cloud"),
    "server": ("Adresse der Cloud", "Address of the cloud"),
    "code": ("Einmal-Code", "One-time code"),
    "do_enrol": ("Anmelden", "Enrol"),
    "login": ("Anmelden", "Log in"),
    "logout": ("Abmelden", "Log out"),
    "password": ("Passwort", "Password"),
    "set_password": ("Passwort festlegen", "Set a password"),
    "set_text": (
        (
            "Dies ist der erste Besuch. Es gibt kein Standard-Passwort: Legen Sie eines mit "
            "mindestens {n} Zeichen fest. Vier zufällige Wörter sind gut."
        ),
        (
            "This is the first visit. There is no default password: set one with at least "
            "{n} characters. Four random words are good."
        ),
    ),
    "repeat": ("Noch einmal", "Once more"),
    "save": ("Speichern", "Save"),
    "bad_password": ("Das Passwort stimmt nicht.", "Wrong password."),
    "too_short": (
        "Zu kurz: mindestens {n} Zeichen.",
        "Too short: at least {n} characters.",
    ),
    "different": (
        "Die beiden Eingaben sind verschieden.",
        "The two entries are different.",
    ),
    "wait": (
        "Zu viele Versuche. Bitte in {n} Sekunden wieder.",
        "Too many tries. Please come back in {n} seconds.",
    ),
    "away": (
        (
            "Der Dienst rcd antwortet nicht. Der Zustand ist unbekannt. Falls er steht, "
            "schließt der Kernel des Gateways spätestens in {n} Sekunden von selbst."
        ),
        (
            "The service rcd does not answer. The state is unknown. If it has died, the gateway's "
            "kernel closes by itself within {n} seconds."
        ),
    ),
    "failed": ("Nicht ausgeführt: {why}", "Not done: {why}"),
    "unknown": ("UNBEKANNT", "UNKNOWN"),
    "other": ("English", "Deutsch"),
}


def say(language: str, key: str, **values: object) -> str:
    text = WORDS[key][LANGUAGES.index(language)]
    return text.format(**values) if values else text


def choose(wanted: str, cookie: str, accepted: str) -> str:
    """An explicit wish, else the remembered one, else the browser's."""
    for each in (wanted, cookie, accepted[:2].lower()):
        if each in LANGUAGES:
            return each
    return "de"
