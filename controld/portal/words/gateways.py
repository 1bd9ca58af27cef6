"""German and English for gateways, their machines and their policies."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    # Gateways.
    "gateways": ("Anlagen", "Gateways"),
    "search": ("Suchen", "Search"),
    "state": ("Zustand", "State"),
    "state_in_session": ("in Sitzung", "in session"),
    "state_online": ("bereit", "online"),
    "state_off": ("AUS an der Anlage, oder ohne Netz", "OFF at the plant, or without network"),
    "state_new": ("noch nicht angemeldet", "not enrolled yet"),
    "on_until": ("EIN bis {time}", "ON until {time}"),
    "no_gateways": (
        (
            "Noch keine Anlage. Legen Sie eine an: Sie bekommen einen Einmal-Code, den jemand an "
            "der "
            "Anlage auf der AMS-Seite des Gateways eintippt."
        ),
        (
            "No gateway yet. Add one: you get a one-time code that somebody at the plant types in "
            "on "
            "the gateway's AMS page."
        ),
    ),
    "add_gateway": ("Anlage anlegen", "Add a gateway"),
    "gateway_name": ("Name der Anlage", "Name of the gateway"),
    "gateway": ("Anlage", "Gateway"),
    "fingerprint": ("Fingerabdruck", "Fingerprint"),
    "networks": ("Netze der Anlage", "Plant networks"),
    "version": ("Version", "Version"),
    "reach": ("Wer diese Anlage erreichen darf", "Who may reach this gateway"),
    "reach_text": (
        (
            "Die Verwaltung darf jede Sitzung starten, andere nur die, in denen sie stehen. Ohne "
            "Sitzung erreicht niemand etwas."
        ),
        (
            "Administrators may start every session, others only those that name them. Without a "
            "session nobody reaches anything."
        ),
    ),
    "reach_what": ("In diesen Sitzungen", "In these sessions"),
    "reach_nothing": ("keine offene Sitzung", "no open session"),
    "history": ("Vergangene Sitzungen", "Past sessions"),
    "all_past": ("Alle vergangenen Sitzungen", "All past sessions"),
    "created": ("Angelegt", "Added"),
    "code_title": ("Einmal-Code für das Gateway", "One-time code for the gateway"),
    "code_text": (
        (
            "Auf der AMS-Seite des Gateways unter „Bei der Cloud anmelden“ eintippen. Der Code "
            "steht "
            "nur hier und gilt einmal, bis {time}."
        ),
        (
            "To be typed in on the gateway's AMS page under “Enrol this gateway”. The code is "
            "shown "
            "here only and works once, until {time}."
        ),
    ),
    "server": ("Adresse", "Address"),
    "code": ("Code", "Code"),
    "to_gateway": ("Weiter zur Anlage", "On to the gateway"),
    "new_code": ("Neuer Einmal-Code", "New one-time code"),
    "new_code_text": (
        "Wenn das Gateway getauscht wurde oder der Code abgelaufen ist.",
        "If the gateway was replaced or the code has expired.",
    ),
    # Machines.
    "devices": ("Maschinen", "Machines"),
    "no_devices": (
        "Noch keine Maschine. Nur was hier steht, kann für eine Sitzung freigegeben werden.",
        "No machine yet. Only what stands here can be released for a session.",
    ),
    "add_device": ("Maschine hinzufügen", "Add a machine"),
    "address": ("IP-Adresse", "IP address"),
    "services": ("Dienste", "Services"),
    "other_port": ("Anderer Port", "Another port"),
    "protocol": ("Protokoll", "Protocol"),
    "own_address": (
        "Sieht die Adresse des Technikers",
        "Sees the technician's address",
    ),
    "own_address_text": (
        "Nur mit einer Route nach 100.64.0.0/11 über das Gateway; sonst antwortet sie nicht.",
        "Only with a route to 100.64.0.0/11 by the gateway; otherwise it does not answer.",
    ),
}
