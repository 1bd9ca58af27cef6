"""German and English for the gateway's own history."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "history": ("Verlauf", "History"),
    "history_text": (
        (
            "Alles, was dieses Gateway getan hat, von ihm selbst unterschrieben. Die Datei lässt "
            "sich auf jedem Rechner prüfen, ohne die Cloud zu fragen."
        ),
        (
            "Everything this gateway did, signed by itself. The file can be checked on any "
            "computer, without asking the cloud."
        ),
    ),
    "export": ("Als Datei sichern", "Save as a file"),
    "verify_with": ("Prüfen mit", "Check it with"),
    "no_history": ("Noch nichts.", "Nothing yet."),
    "event_gateway_started": ("Gateway gestartet", "Gateway started"),
    "event_access_changed": ("Schalter betätigt", "Switch turned"),
    "event_access_expired": ("Von selbst ausgeschaltet", "Turned off by itself"),
    "event_key_switch_turned": ("Schlüsselschalter gedreht", "Key switch turned"),
    "event_enrolment_redeemed": ("Bei der Cloud angemeldet", "Enrolled"),
    "event_release_requested": ("Freigabe erbeten", "Release asked for"),
    "event_session_released": ("Freigegeben", "Released"),
    "event_offer_accepted": ("Sitzung angenommen", "Session accepted"),
    "event_offer_refused": ("Sitzung abgelehnt", "Session refused"),
    "event_identity_pinned": ("Techniker-Rechner gemerkt", "Technician's computer remembered"),
    "event_tunnel_opened": ("Verbindung geöffnet", "Connection opened"),
    "event_path_changed": ("Weg geändert", "Path changed"),
    "event_tunnel_closed": ("Verbindung geschlossen", "Connection closed"),
    "event_flow_recorded": ("Datenverkehr", "Traffic"),
    "event_packets_refused": ("Pakete abgewiesen", "Packets refused"),
    "event_ruleset_mismatch": ("Firewall wurde verändert", "Firewall was changed"),
    "event_connection_checked": ("Verbindung geprüft", "Connection checked"),
    "event_ams_login_succeeded": ("Auf dieser Seite angemeldet", "Logged in on this page"),
    "event_ams_login_failed": ("Falsches Passwort", "Wrong password"),
    "event_ams_password_changed": ("Passwort geändert", "Password changed"),
}
