"""German and English for the way in: the password, set and asked for."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "set_title": ("Passwort festlegen", "Set the password"),
    "set_text": (
        (
            "Dies ist der erste Besuch; ein voreingestelltes Passwort gibt es nicht. Wer es kennt, "
            "schaltet den Fernzugriff dieser Anlage ein und aus."
        ),
        (
            "This is the first visit; there is no preset password. Whoever knows it turns this "
            "plant's remote access on and off."
        ),
    ),
    "set_hint": (
        (
            "Mindestens {n} Zeichen. Gut und leicht zu tippen: vier Wörter, die nichts miteinander "
            "zu tun haben."
        ),
        (
            "At least {n} characters. Good and easy to type: four words that have nothing to do "
            "with each other."
        ),
    ),
    "repeat": ("Noch einmal", "Once more"),
    "save": ("Speichern", "Save"),
    "login": ("Anmelden", "Log in"),
    "password": ("Passwort", "Password"),
    "forgotten": (
        "Passwort vergessen? Am Gateway selbst setzt „ams reset-password“ es zurück (als root).",
        "Forgotten? At the gateway itself, “ams reset-password” (as root) resets it.",
    ),
    "strength": ("Stärke des Passworts", "Strength of the password"),
    "strength_too_short": (
        "Zu kurz: Ein Passwort hat mindestens {n} Zeichen.",
        "Too short: a password has at least {n} characters.",
    ),
    "strength_too_long": (
        "Zu lang: Ein Passwort hat höchstens {n} Zeichen.",
        "Too long: a password has at most {n} characters.",
    ),
    "strength_guessable": (
        (
            "Leicht zu erraten: Bekannte Wörter, Zahlenreihen und wiederholte Zeichen probieren "
            "Angreifer zuerst. Nehmen Sie vier Wörter, die nichts miteinander zu tun haben."
        ),
        (
            "Easy to guess: attackers try well-known words, runs and repeated characters first. "
            "Take four words that have nothing to do with each other."
        ),
    ),
    "strength_fair": (
        "Passwort gespeichert. Es ist brauchbar; ein längeres wäre besser.",
        "Password saved. It will do; a longer one would be better.",
    ),
    "strength_strong": (
        "Passwort gespeichert. Es ist stark.",
        "Password saved. It is strong.",
    ),
    "different": (
        "Die beiden Eingaben sind verschieden.",
        "The two entries are different.",
    ),
    "already_set": (
        (
            "Das Passwort ist schon festgelegt. Waren das nicht Sie, setzen Sie es am Gateway mit "
            "„ams reset-password“ zurück."
        ),
        (
            "The password is set already. If that was not you, reset it at the gateway with "
            "“ams reset-password”."
        ),
    ),
    "not_saved": (
        (
            "Das Passwort konnte nicht gespeichert werden ({why}). Schaffen Sie Platz auf dem "
            "Gateway und versuchen Sie es noch einmal."
        ),
        "The password could not be saved ({why}). Make room on the gateway and try again.",
    ),
    "unreadable": (
        (
            "Die Passwort-Datei des Gateways ist nicht lesbar; niemand kommt herein. Am Gateway "
            "setzt „ams reset-password“ sie zurück."
        ),
        (
            "The gateway's password file cannot be read; nobody gets in. At the gateway, "
            "“ams reset-password” resets it."
        ),
    ),
    "wrong": ("Das Passwort stimmt nicht.", "Wrong password."),
    "too_soon": (
        "Zu viele Versuche. Der nächste geht in {wait}; Versuche bis dahin zählen nicht.",
        "Too many tries. The next one is possible in {wait}; tries until then do not count.",
    ),
}
