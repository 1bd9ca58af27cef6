"""German and English for sessions."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    # Sessions.
    "sessions": ("Sitzungen", "Sessions"),
    "session": ("Sitzung", "Session"),
    "open_sessions": ("Offene Sitzungen", "Open sessions"),
    "past_sessions": ("Vergangene Sitzungen", "Past sessions"),
    "no_open": ("Keine offene Sitzung.", "No open session."),
    "no_open_admin": (
        "Keine offene Sitzung. Bereiten Sie eine vor: Anlage, Maschinen, Personen, Zeit.",
        "No open session. Prepare one: gateway, machines, people, time.",
    ),
    "no_past": ("Noch keine vergangene Sitzung.", "No past session yet."),
    "prepare": ("Sitzung vorbereiten", "Prepare a session"),
    "choose_gateway": ("Für welche Anlage?", "For which gateway?"),
    "session_name": ("Name der Sitzung", "Name of the session"),
    "session_name_hint": ("z. B. Linie 3, Antrieb", "e.g. line 3, drive"),
    "reachable": ("Was erreichbar sein wird", "What will be reachable"),
    "who": ("Wer sie starten darf", "Who may start it"),
    "who_hint": (
        "Administratoren dürfen es immer; Benutzer nur, wenn sie hier stehen.",
        "Administrators always may; users only if they stand here.",
    ),
    "how_long": ("Wie lange", "How long"),
    "hours": ("{n} Stunden", "{n} hours"),
    "hour": ("1 Stunde", "1 hour"),
    "window": ("Nur in diesem Zeitraum (freiwillig)", "Only within this time (optional)"),
    "from": ("Von", "From"),
    "until": ("Bis", "Until"),
    "time_zone": ("Zeitzone der Anlage", "The plant's time zone"),
    "reason": ("Grund", "Reason"),
    "reason_hint": ("Die Anlage sieht ihn.", "The plant sees it."),
    "summary_none": (
        "Noch ist nichts gewählt: Diese Sitzung würde nichts erreichen.",
        "Nothing is chosen yet: this session would reach nothing.",
    ),
    "summary": (
        "Erreichbar werden genau diese Dienste, sonst nichts:",
        "Exactly these services become reachable, nothing else:",
    ),
    "needs_devices": (
        "Diese Anlage hat noch keine Maschine. Fügen Sie zuerst eine hinzu.",
        "This gateway has no machine yet. Add one first.",
    ),
    "start": ("Starten", "Start"),
    "release": ("Freigeben", "Release"),
    "refuse": ("Ablehnen", "Refuse"),
    "machine": ("Maschine", "Machine"),
    "traffic": ("Datenverkehr", "Traffic"),
    "to_machine": ("Zur Maschine", "To the machine"),
    "from_machine": ("Von der Maschine", "From the machine"),
    "last_packet": ("Letztes Paket", "Last packet"),
    "course": ("Verlauf", "Course"),
    "end": ("Beenden", "End"),
    "starting_title": ("Der Client übernimmt", "The client takes over"),
    "starting_text": (
        (
            "Ihr Browser öffnet jetzt remoteconnect auf diesem Rechner. Der Link gilt einmal, bis "
            "{time}."
        ),
        "Your browser now opens remoteconnect on this computer. The link works once, until {time}.",
    ),
    "open_client": ("remoteconnect öffnen", "Open remoteconnect"),
    "no_client": (
        (
            "Nichts passiert? Der Client ist auf diesem Rechner noch nicht eingerichtet: einmal "
            "installieren, den Rechner unter „Meine Rechner“ anmelden, dann von hier noch einmal "
            "starten. Auf der Kommandozeile geht es auch:"
        ),
        (
            "Nothing happens? The client is not set up on this computer yet: install it once, "
            "enrol "
            "the computer under “My computers”, then start from here again. The command line does "
            "it "
            "as well:"
        ),
    ),
    "to_session": ("Zur Sitzung", "To the session"),
    "session_state_prepared": ("vorbereitet", "prepared"),
    "session_state_requested": ("Freigabe erbeten", "release requested"),
    "session_state_released": ("freigegeben", "released"),
    "session_state_starting": ("wird aufgebaut", "starting"),
    "session_state_active": ("läuft", "active"),
    "session_state_ended": ("beendet", "ended"),
    "session_state_refused": ("abgelehnt", "refused"),
    "session_state_expired": ("verfallen", "expired"),
    "path": ("Weg", "Path"),
    "path_connecting": ("wird aufgebaut", "connecting"),
    "path_relay": ("über Relay", "by relay"),
    "path_direct": ("direkt", "direct"),
    "started": ("Gestartet", "Started"),
    "ends_at": ("Endet spätestens", "Ends at the latest"),
    "ended": ("Beendet", "Ended"),
    "end_reason": ("Warum beendet", "Why it ended"),
    "end_plant_off": ("an der Anlage ausgeschaltet", "switched off at the plant"),
    "end_plant_killed": ("an der Anlage beendet", "ended at the plant"),
    "end_technician": ("vom Techniker beendet", "ended by the technician"),
    "end_administrator": ("von der Verwaltung beendet", "ended by an administrator"),
    "end_user_disabled": ("Benutzer gesperrt", "user disabled"),
    "end_targets_changed": ("Maschinen geändert", "machines changed"),
    "end_lease_ended": ("Erlaubnis nicht erneuert", "lease not renewed"),
    "end_time_over": ("Zeit abgelaufen", "time over"),
    "end_idle": ("zu lange ungenutzt", "unused for too long"),
    "end_technician_gone": ("Techniker nicht mehr erreichbar", "technician out of reach"),
    "end_gateway_gone": ("Anlage nicht mehr erreichbar", "gateway out of reach"),
    "end_gate_failed": ("Fehler am Gateway", "fault at the gateway"),
    "end_ruleset_mismatch": ("Firewall wurde verändert", "firewall was changed"),
    "end_refused": ("von der Anlage abgelehnt", "refused by the plant"),
    "released_for": ("Freigegeben für", "Released for"),
    "nobody_named": ("nur Administratoren", "administrators only"),
}
