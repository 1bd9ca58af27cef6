"""German and English for the connection check."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "check": ("Verbindung prüfen", "Check the connection"),
    "check_text": (
        (
            "Prüft, ob dieses Gateway seine Server erreicht, und sagt, was die Firewall der Anlage "
            "durchlassen muss. Das dauert höchstens {seconds} Sekunden."
        ),
        (
            "Checks whether this gateway reaches its servers, and says what the plant's firewall "
            "has to let through. This takes {seconds} seconds at most."
        ),
    ),
    "check_while_off": (
        (
            "Der Fernzugriff ist AUS, und sonst sendet das Gateway dann nichts. Die Prüfung sendet "
            "trotzdem einige Pakete an die Server, nur jetzt und nur, weil Sie es wünschen. Sie "
            "lässt niemanden herein und steht danach im Verlauf."
        ),
        (
            "Remote access is OFF, and the gateway then sends nothing. The check does send a few "
            "packets to the servers, only now and only because you want it. It lets nobody in, "
            "and the history shows it."
        ),
    ),
    "check_now": ("Jetzt prüfen", "Check now"),
    "check_unasked": (
        "Der Dienst rcd antwortet nicht; ohne ihn lässt sich nichts prüfen.",
        "The service rcd does not answer; without it nothing can be checked.",
    ),
    "check_unanswered": (
        "rcd hat nicht geantwortet; die Prüfung hat kein Ergebnis.",
        "rcd did not answer; the check has no result.",
    ),
    "check_all_good": ("Alles ist erreichbar.", "Everything can be reached."),
    "check_problem": ("Ein Punkt geht nicht.", "One thing does not work."),
    "check_problems": ("{n} Punkte gehen nicht.", "{n} things do not work."),
    "check_is_good": ("gut", "good"),
    "check_is_problem": ("Problem", "problem"),
    "check_is_skipped": ("nicht geprüft", "not checked"),
    # What was tried.
    "part_name": ("DNS: {host}", "DNS: {host}"),
    "part_control": ("Steuerung: {host}, TCP {port}", "Control plane: {host}, TCP {port}"),
    "part_relay": ("Relay: {host}, TCP {port}", "Relay: {host}, TCP {port}"),
    "part_stun": ("STUN: {host}, UDP {port}", "STUN: {host}, UDP {port}"),
    "part_clock": ("Uhr", "Clock"),
    # What came of it.
    "check_name_good": ("Bekannt als {detail}.", "Known as {detail}."),
    "check_control_good": (
        "Erreichbar, mit dem richtigen Zertifikat.",
        "Can be reached, with the right certificate.",
    ),
    "check_relay_good": (
        "Erreichbar, mit dem richtigen Zertifikat.",
        "Can be reached, with the right certificate.",
    ),
    "check_stun_good": (
        "UDP kommt hinaus und zurück; das Internet sieht dieses Gateway als {detail}.",
        "UDP gets out and back; the internet sees this gateway as {detail}.",
    ),
    "check_clock_good": ("Die Uhr geht richtig.", "The clock is right."),
    "check_name_silent": (
        (
            "Der DNS-Server der Anlage antwortet nicht. Tragen Sie am Gateway einen erreichbaren "
            "DNS-Server ein, oder erlauben Sie ausgehend UDP und TCP 53 zu ihm."
        ),
        (
            "The plant's DNS server does not answer. Set one at the gateway that can be reached, "
            "or allow outgoing UDP and TCP 53 to it."
        ),
    ),
    "check_unknown": (
        (
            "Der DNS-Server kennt diesen Namen nicht. Ist die Adresse richtig? Manche Anlagen "
            "lösen nur freigegebene Namen auf: Dann muss {host} dazu."
        ),
        (
            "The DNS server does not know this name. Is the address right? Some plants resolve "
            "allowed names only: then {host} has to be added."
        ),
    ),
    "check_silent": (
        (
            "Keine Antwort; so sieht eine Firewall aus, die verwirft. Erlauben Sie ausgehend TCP "
            "{port} von diesem Gateway zu {host}."
        ),
        (
            "No answer; this is what a firewall looks like that drops. Allow outgoing TCP {port} "
            "from this gateway to {host}."
        ),
    ),
    "check_stun_silent": (
        (
            "Keine Antwort über UDP. Erlauben Sie ausgehend UDP {port} von diesem Gateway zu "
            "{host}. Ohne das geht der Fernzugriff auch, aber langsamer: immer über ein Relay."
        ),
        (
            "No answer over UDP. Allow outgoing UDP {port} from this gateway to {host}. Without "
            "it remote access works too, but slower: always by a relay."
        ),
    ),
    "check_refused": (
        (
            "Abgewiesen oder abgeschnitten ({detail}). Weist die Firewall ab, erlauben Sie "
            "ausgehend Port {port} von diesem Gateway zu {host}. Sonst läuft der Server nicht."
        ),
        (
            "Turned down or cut off ({detail}). If it is the firewall, allow outgoing port {port} "
            "from this gateway to {host}. Otherwise the server does not run."
        ),
    ),
    "check_unreachable": (
        (
            "Von hier führt kein Weg dorthin ({detail}). Prüfen Sie Kabel, Adresse und "
            "Standard-Gateway auf der Internet-Seite."
        ),
        (
            "There is no way there from here ({detail}). Check cable, address and default gateway "
            "on the internet side."
        ),
    ),
    "check_foreign": (
        (
            "Dort antwortet jemand, der sich nicht als {host} ausweist ({detail}). Öffnet die "
            "Firewall TLS (Inspektion), nehmen Sie {host} davon aus."
        ),
        (
            "Somebody answers there who cannot prove to be {host} ({detail}). If the firewall "
            "opens TLS (inspection), exempt {host} from it."
        ),
    ),
    "check_out_of_date": (
        "Das Zertifikat gilt nicht zu der Zeit, die dieses Gateway für jetzt hält: siehe Uhr.",
        "The certificate is not valid at the time this gateway takes for now: see the clock.",
    ),
    "check_strange": (
        (
            "Der Server antwortet, aber nicht wie eine Steuerung ({detail}). Stimmt die Adresse, "
            "ist er gestört oder älter als dieses Gateway."
        ),
        (
            "The server answers, but not as a control plane ({detail}). If the address is right, "
            "it is faulty, or older than this gateway."
        ),
    ),
    "check_proxy": (
        "Der HTTP-Proxy lässt es nicht zu ({detail}). Geben Sie dort {host}, Port {port} frei.",
        "The HTTP proxy does not allow it ({detail}). Allow {host}, port {port} there.",
    ),
    "check_clock_ahead": (
        "Die Uhr dieses Gateways geht {offset} vor. Stellen Sie sie (NTP).",
        "This gateway's clock is {offset} fast. Set it (NTP).",
    ),
    "check_clock_behind": (
        "Die Uhr dieses Gateways geht {offset} nach. Stellen Sie sie (NTP).",
        "This gateway's clock is {offset} slow. Set it (NTP).",
    ),
    "check_clock_unknown": (
        (
            "Nach der Uhr dieses Gateways ist es jetzt {now}. Stimmt das nicht, stellen Sie sie "
            "(NTP). Stimmt es, ist das Zertifikat des Servers abgelaufen."
        ),
        (
            "By this gateway's clock it is now {now}. If that is wrong, set it (NTP). If it is "
            "right, the server's certificate has expired."
        ),
    ),
    "check_skipped": (
        "Nicht geprüft, weil etwas davor fehlt.",
        "Not checked, because something before it is missing.",
    ),
    "check_no_list": (
        (
            "Relays und STUN-Server nennt erst die Steuerung. Prüfen Sie noch einmal, sobald sie "
            "erreichbar ist."
        ),
        (
            "It is the control plane that names relays and STUN servers. Check again when it can "
            "be reached."
        ),
    ),
    # What to allow.
    "ways": ("Was die Firewall durchlassen muss", "What the firewall has to let through"),
    "ways_text": (
        (
            "Nur ausgehend, von diesem Gateway ins Internet, mit den Antworten darauf. Von außen "
            "nach innen muss nichts offen sein."
        ),
        (
            "Outgoing only, from this gateway to the internet, with the answers to it. Nothing has "
            "to be open from the outside in."
        ),
    ),
    "way_to": ("zu {host}, Port {port}", "to {host}, port {port}"),
    "way_to_dns": (
        "zum DNS-Server der Anlage, Port {port}",
        "to the plant's DNS server, port {port}",
    ),
    "way_name": ("Namen auflösen", "look up names"),
    "way_control": ("Steuerung", "control plane"),
    "way_relay": ("Relay", "relay"),
    "way_stun": ("STUN", "STUN"),
    "way_proxy": ("HTTP-Proxy", "HTTP proxy"),
    "way_direct": (
        (
            "UDP zu beliebigen Zielen ist nicht nötig. Erlaubt die Firewall es, laufen Sitzungen "
            "ohne Relay und damit schneller."
        ),
        (
            "UDP to any destination is not needed. Where the firewall allows it, sessions run "
            "without a relay, and so faster."
        ),
    ),
}
