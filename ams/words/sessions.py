"""German and English for sessions: who wants in, and who is connected."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    # Who wants in.
    "waiting": ("Jemand wartet auf Freigabe", "Somebody waits for a release"),
    "look": ("Ansehen und entscheiden", "Look and decide"),
    "release_title": ("{who} möchte zugreifen", "{who} wants access"),
    "company": ("Firma", "Company"),
    "no_reason": ("kein Grund genannt", "no reason given"),
    "how_long": ("Höchstens", "At most"),
    "comes_from": ("Kommt von", "Comes from"),
    "computer": ("Rechner", "Computer"),
    "computer_known": ("war schon hier", "was here before"),
    "computer_new": (
        "zum ersten Mal hier: Wörter vergleichen!",
        "here for the first time: compare the words!",
    ),
    "phrase_text": (
        (
            "Lassen Sie sich am Telefon diese sechs Wörter vorlesen. Nur wenn alle stimmen, ist es "
            "der Rechner, für den er sich ausgibt."
        ),
        (
            "Let the technician read these six words to you on the phone. Only if all of them "
            "agree is it the computer it claims to be."
        ),
    ),
    "release_for": ("Freigeben für", "Release for"),
    "as_asked": ("{time}, wie gewünscht", "{time}, as asked for"),
    "release": ("Freigeben", "Release"),
    "refuse": ("Ablehnen", "Refuse"),
    "waits": ("Wartet noch {time}.", "Waits for another {time}."),
    "done_release": ("Freigegeben.", "Released."),
    "done_refuse": ("Abgelehnt.", "Refused."),
    "released_by": ("Freigegeben von", "Released by"),
    # Who is connected.
    "sessions": ("Gerade verbunden", "Connected right now"),
    "no_sessions": ("Niemand.", "Nobody."),
    "reason": ("Grund", "Reason"),
    "session": ("Sitzung", "Session"),
    "targets": ("Erreichbar", "Can reach"),
    "all_ports": ("alle Ports", "all ports"),
    "path": ("Weg", "Path"),
    "path_connecting": ("wird aufgebaut", "connecting"),
    "path_relay": ("über Relay", "by relay"),
    "path_direct": ("direkt", "direct"),
    "since": ("Seit", "Since"),
    "time_left": ("Endet in", "Ends in"),
    "data": ("Daten", "Data"),
    "data_text": ("{received} empfangen, {sent} gesendet", "{received} received, {sent} sent"),
    "flow_text": ("{to} hin, {back} zurück", "{to} there, {back} back"),
    "refused_packets": ("Abgewiesen", "Turned away"),
    "refused_packets_text": (
        "{count} Pakete zu nicht freigegebenen Zielen",
        "{count} packets to what was not released",
    ),
    "end": ("Beenden", "End"),
    "end_of": ("Beenden: {who}", "End: {who}"),
    "confirm_end": ("Diese Verbindung beenden?", "End this connection?"),
    "confirm_end_text": (
        "{who} ({organisation}) verliert sofort den Zugriff. Der Fernzugriff selbst bleibt ein.",
        "{who} ({organisation}) loses access at once. Remote access itself stays on.",
    ),
    "yes_end": ("Ja, beenden", "Yes, end it"),
    "done_end": ("Die Verbindung ist beendet.", "The connection has ended."),
    "gone_end": ("Diese Verbindung besteht nicht mehr.", "This connection no longer exists."),
}
