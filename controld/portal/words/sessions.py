"""German and English for sessions."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    # Sessions.
    "sessions": ("Sitzungen", "Sessions"),
    "session": ("Sitzung", "Session"),
    "open_sessions": ("Offene Sitzungen", "Open sessions"),
    "past_sessions": ("Vergangene Sitzungen", "Past sessions"),
    "no_open": (
        "Keine offene Sitzung. Wer die Anlage verwaltet, bereitet eine für Sie vor.",
        "No open session. Whoever manages the gateway prepares one for you.",
    ),
    "no_open_admin": (
        "Keine offene Sitzung. Bereiten Sie eine vor: Anlage, Maschinen, Personen, Zeit.",
        "No open session. Prepare one: gateway, machines, people, time.",
    ),
    "no_past": ("Noch keine vergangene Sitzung.", "No past session yet."),
    "prepare": ("Sitzung vorbereiten", "Prepare a session"),
    "change_session": ("Sitzung ändern", "Change the session"),
    "change_session_text": (
        (
            "Eine Freigabe gilt für das, wofür sie gegeben wurde: Andere Maschinen, Personen oder "
            "Zeiten nehmen sie zurück, und eine laufende Verbindung endet."
        ),
        (
            "A release holds for what it was given for: other machines, people or times take it "
            "back, and an open connection ends."
        ),
    ),
    "reference": ("Auftrag oder Ticket", "Order or ticket"),
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
    "no_client_title": ("Nichts passiert?", "Nothing happens?"),
    "no_client": (
        "Dann fehlt remoteconnect auf diesem Rechner noch. So kommt es dorthin:",
        "Then remoteconnect is not on this computer yet. This is how it gets there:",
    ),
    "no_client_command": (
        "Auf der Kommandozeile übernimmt es auch:",
        "The command line takes over as well:",
    ),
    "client": ("remoteconnect einrichten", "Set remoteconnect up"),
    "client_text": (
        "Sitzungen laufen über ein kleines Programm auf Ihrem Rechner. Drei Schritte, einmal:",
        "Sessions run through a small program on your computer. Three steps, once:",
    ),
    "client_install": ("Installieren", "Install it"),
    "client_download": ("Herunterladen", "Download"),
    "client_ask": (
        (
            "Das Paket gibt Ihnen, wer dieses Portal betreibt; mit „client_url“ in controld.toml "
            "steht es hier zum Herunterladen."
        ),
        (
            "Whoever runs this portal has the package for you; with `client_url` in controld.toml "
            "it can be downloaded here."
        ),
    ),
    "client_gate": (
        "Der Dienst, der Verbindungen öffnet, braucht einmal Administratorrechte:",
        "The service that opens connections takes an administrator's rights, once:",
    ),
    "client_enrol": ("Den Rechner anmelden", "Enrol the computer"),
    "client_enrol_text": (
        "Einen Einmal-Code gibt es unter „Meine Rechner“.",
        "“My computers” gives you a one-time code.",
    ),
    "client_start": ("Starten", "Start"),
    "client_start_text": (
        "Auf der Seite einer Sitzung starten; der Link geht an das Programm:",
        "Start on a session's page; the link goes to the program:",
    ),
    "step_client_done": ("Ihr Rechner hat übernommen", "Your computer has taken over"),
    "step_client_now": ("Warten auf Ihren Rechner", "Waiting for your computer"),
    "step_client_next": ("Ihr Rechner übernimmt", "Your computer takes over"),
    "step_plant_done": ("Die Anlage hat freigegeben", "The plant has released it"),
    "step_plant_now": (
        "Warten auf die Freigabe an der Anlage; rufen Sie dort an",
        "Waiting for the plant's release; call them",
    ),
    "step_plant_next": ("Die Anlage gibt frei", "The plant releases it"),
    "step_relay_done": ("Verbunden", "Connected"),
    "step_relay_now": ("Verbindung wird aufgebaut", "Connecting"),
    "step_relay_next": ("Verbinden über ein Relay", "Connect by a relay"),
    "step_direct_done": ("Direkter Weg", "Direct path"),
    "step_direct_now": (
        "Über Relay; der direkte Weg wird gesucht",
        "By relay; looking for a direct path",
    ),
    "step_direct_next": ("Direkter Weg, wenn es einen gibt", "Direct path, if there is one"),
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
    "traffic_days": ("Datenverkehr der letzten {n} Tage", "Traffic of the last {n} days"),
    "no_traffic": (
        "Noch kein Datenverkehr; das Gateway meldet ihn alle fünf Minuten und am Ende.",
        "No traffic on record yet. The gateway reports it every five minutes and at the end.",
    ),
    "chart_title": ("Bytes je Maschine", "Bytes per machine"),
    "chart_text": (
        "Je Maschine zwei Balken, hin und zurück; dieselben Zahlen stehen in der Tabelle darunter.",
        "Two bars a machine, to and from it; the table below has the same numbers.",
    ),
    "report": ("Bericht herunterladen", "Download the report"),
    "person": ("Person", "Person"),
    "all": ("Alle", "All"),
    "filter": ("Anzeigen", "Show"),
    "older": ("Ältere", "Older"),
    "newest": ("Neueste", "Newest"),
    "no_match": ("Keine Sitzung passt dazu.", "No session matches."),
}
