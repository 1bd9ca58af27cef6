"""Every sentence of the page: German, English. The order is that of `rclib.pages.language`."""

from __future__ import annotations

from typing import Final

from ams.check_words import CHECK_WORDS

WORDS: Final[dict[str, tuple[str, str]]] = {
    **CHECK_WORDS,
    "title": ("Fernzugriff", "Remote access"),
    "other_language": ("English", "Deutsch"),
    "skip": ("Zum Inhalt", "Skip to content"),
    "logout": ("Abmelden", "Log out"),
    "cancel": ("Abbrechen", "Cancel"),
    "back": ("Zurück zur Übersicht", "Back to the overview"),
    # The door.
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
    # The state.
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
            "spätestens "
            "um {time}. Wer ganz sicher gehen will, zieht das Internet-Kabel des Gateways."
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
            "Kernel "
            "von selbst, spätestens um {time}; neue gibt es nicht."
        ),
        (
            "The gate (firewall and tunnels) does not answer. The kernel closes open connections "
            "by "
            "itself, at {time} at the latest; there are no new ones."
        ),
    ),
    # The switch.
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
            "wieder "
            "ausschaltet. Besser ist meist eine feste Zeit."
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
            "agree "
            "is it the computer it claims to be."
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
    "key_switch_on": ("Schlüsselschalter: ein", "Key switch: on"),
    "key_switch_off": (
        "Der Schlüsselschalter steht auf AUS: Es ist zu, bis ihn jemand dreht.",
        "The key switch is OFF: everything stays closed until somebody turns it.",
    ),
    "key_switch_fault": (
        "Der Schlüsselschalter ist nicht lesbar und gilt als AUS: {why}",
        "The key switch cannot be read and counts as OFF: {why}",
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
    # The gateway.
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
            "dabei, "
            "wie er ist."
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
    # What happened.
    "history": ("Verlauf", "History"),
    "history_text": (
        (
            "Alles, was dieses Gateway getan hat, von ihm selbst unterschrieben. Die Datei lässt "
            "sich "
            "auf jedem Rechner prüfen, ohne die Cloud zu fragen."
        ),
        (
            "Everything this gateway did, signed by itself. The file can be checked on any "
            "computer, "
            "without asking the cloud."
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
    # What can go wrong.
    "unconfirmed": (
        (
            "Nicht bestätigt: rcd hat nicht geantwortet. Ob es geschehen ist, zeigt der Zustand, "
            "sobald rcd wieder antwortet."
        ),
        (
            "Not confirmed: rcd did not answer. Whether it happened, the state will show as soon "
            "as rcd answers again."
        ),
    ),
    "contradicted": (
        (
            "rcd hat geantwortet, aber der Zustand ist nicht der gewünschte. Versuchen Sie es noch "
            "einmal."
        ),
        "rcd answered, but the state is not what was asked for. Try again.",
    ),
    "failed_malformed": (
        "Nicht ausgeführt, die Angaben passen nicht: {why}",
        "Not done, the entries do not fit: {why}",
    ),
    "failed_unknown_session": ("Diese Verbindung besteht nicht mehr.", "No such connection."),
    "failed_not_waiting": (
        "Hier wartet niemand mehr: schon entschieden oder abgelaufen.",
        "Nobody waits here any more: decided already, or over.",
    ),
    "failed_storage": (
        "Nicht ausgeführt, das Gateway kann es nicht speichern: {why}",
        "Not done, the gateway cannot store it: {why}",
    ),
    "failed_enrol_failed": ("Nicht angemeldet: {why}", "Not enrolled: {why}"),
    "failed_already_enrolled": ("Schon angemeldet: {why}", "Enrolled already: {why}"),
    "failed_not_enrolled": ("Nicht geprüft: {why}", "Not checked: {why}"),
    "failed_too_soon": (
        "Eben wurde schon geprüft. Die nächste Prüfung geht in {why}.",
        "A check was made a moment ago. The next one is possible in {why}.",
    ),
    "failed_internal": ("Nicht ausgeführt, Fehler in rcd: {why}", "Not done, fault in rcd: {why}"),
    "error_title": ("Das ging nicht", "That did not work"),
    "error_form": (
        "Dieses Formular stammt nicht von dieser Seite oder ist zu alt. Laden Sie die Seite neu.",
        "This form is not from this page, or too old. Load the page again.",
    ),
    "error_host": (
        (
            "Unter dem Namen „{host}“ ist diese Seite nicht bekannt. Rufen Sie sie mit der Adresse "
            "des Gateways auf, oder tragen Sie den Namen in ams.toml unter „hosts“ ein."
        ),
        (
            "This page is not known as “{host}”. Use the gateway's address, or add the name to "
            "`hosts` in ams.toml."
        ),
    ),
    "error_choice": (
        "Diese Angabe gibt es nicht. Gehen Sie zurück und wählen Sie noch einmal.",
        "There is no such choice. Go back and choose again.",
    ),
    "error_400": ("Die Anfrage ist nicht lesbar.", "The request cannot be read."),
    "error_404": ("Diese Seite gibt es nicht.", "There is no such page."),
    "error_405": ("So lässt sich diese Adresse nicht aufrufen.", "Not the way to ask for this."),
    "error_408": ("Die Anfrage kam nicht vollständig an.", "The request did not arrive whole."),
    "error_413": ("Die Anfrage ist zu groß.", "The request is too large."),
    "error_415": ("Nur gewöhnliche Formulare.", "Ordinary forms only."),
    "error_500": (
        (
            "Ein Fehler in dieser Seite; er steht im Protokoll des Gateways. Der Zustand des "
            "Fernzugriffs ist dadurch nicht geändert."
        ),
        (
            "A fault in this page; the gateway's log has it. It did not change the state of remote "
            "access."
        ),
    ),
}
