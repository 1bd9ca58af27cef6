"""German and English for this gateway, and its enrolment."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "gateway": ("Dieses Gateway", "This gateway"),
    "name": ("Name", "Name"),
    "organisation": ("Organisation", "Organisation"),
    "link": ("Cloud", "Cloud"),
    "link_not_enrolled": ("nicht angemeldet", "not enrolled"),
    "link_off": ("getrennt, weil AUS", "disconnected, because OFF"),
    "link_connecting": ("Verbindung wird aufgebaut", "connecting"),
    "link_online": ("verbunden", "connected"),
    "gate": ("Tor (Firewall, Tunnel)", "Gate (firewall, tunnels)"),
    "gate_ready": ("bereit", "ready"),
    "gate_unreachable": ("antwortet nicht", "does not answer"),
    "fingerprint": ("Fingerabdruck", "Fingerprint"),
    "page_fingerprint": (
        "Fingerabdruck dieser Seite (SHA-256)",
        "This page's fingerprint (SHA-256)",
    ),
    "enrol": ("Bei der Cloud anmelden", "Enrol this gateway"),
    "enrol_text": (
        (
            "Adresse und Einmal-Code bekommen Sie vom Maschinenbauer. Der Fernzugriff bleibt "
            "dabei, wie er ist."
        ),
        (
            "Address and one-time code come from the machine builder. This does not turn remote "
            "access on."
        ),
    ),
    "server": ("Adresse", "Address"),
    "code": ("Einmal-Code", "One-time code"),
    "done_enrol": (
        "Angemeldet bei {server} als „{name}“.",
        "Enrolled at {server} as “{name}”.",
    ),
    "fingerprint_qr": ("Fingerabdruck als QR-Code", "Fingerprint as QR code"),
}
