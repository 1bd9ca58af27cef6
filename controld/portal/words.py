"""Every sentence of the portal: German, English. The order is that of `rclib.pages.language`."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("remoteconnect", "remoteconnect"),
    "other_language": ("English", "Deutsch"),
    "skip": ("Zum Inhalt", "Skip to content"),
    "menu": ("Bereiche", "Sections"),
    "nav_gateways": ("Anlagen", "Gateways"),
    "nav_sessions": ("Sitzungen", "Sessions"),
    "nav_users": ("Benutzer", "Users"),
    "nav_record": ("Protokoll", "Record"),
    "nav_computers": ("Meine Rechner", "My computers"),
    "logout": ("Abmelden", "Log out"),
    "cancel": ("Abbrechen", "Cancel"),
    "back": ("Zurück", "Back"),
    "name": ("Name", "Name"),
    "remove": ("Entfernen", "Remove"),
    "none": ("—", "—"),
    # The way in.
    "login": ("Anmelden", "Log in"),
    "login_code": (
        "Code der Authenticator-App oder Wiederherstellungscode (falls eingerichtet)",
        "Code of the authenticator app or recovery code (if set up)",
    ),
    "login_passkey": ("Mit Passkey anmelden", "Log in with a passkey"),
    "login_with": ("Anmelden mit {name}", "Sign in with {name}"),
    "login_code_title": ("Noch der Code", "Now the code"),
    "login_code_text": (
        "Ihr Konto verlangt auch den Code der Authenticator-App oder einen Wiederherstellungscode.",
        "Your account asks for the code of the authenticator app or a recovery code, too.",
    ),
    "failed_title": ("Fehlgeschlagene Anmeldungen", "Failed logins"),
    "failed_text": (
        (
            "Seit Ihrer letzten Anmeldung ist jemand {count}-mal daran gescheitert, sich unter "
            "Ihrem Namen anzumelden. Waren Sie das nicht, ändern Sie Ihr Passwort und sagen Sie es "
            "Ihrem Administrator."
        ),
        (
            "Since your last login, somebody failed {count} times to log in under your name. If "
            "that was not you, change your password and tell your administrator."
        ),
    ),
    "go_on": ("Weiter", "Go on"),
    "user_name": ("Benutzername", "User name"),
    "password": ("Passwort", "Password"),
    "own_password": ("Eigenes Passwort", "Your password"),
    "one_time_text": (
        (
            "Das Passwort, mit dem Sie sich angemeldet haben, gilt nur einmal. Legen Sie jetzt Ihr "
            "eigenes fest."
        ),
        "The password you logged in with works only once. Set your own now.",
    ),
    "old_password": ("Bisheriges Passwort", "Present password"),
    "new_password": ("Neues Passwort", "New password"),
    "repeat": ("Noch einmal", "Once more"),
    "save": ("Speichern", "Save"),
    "passwords_differ": ("Die beiden Eingaben sind verschieden.", "The two entries differ."),
    # How one signs in.
    "sign_in": ("Anmeldung", "Sign-in"),
    "change_password": ("Passwort ändern", "Change the password"),
    "totp": ("Authenticator-App", "Authenticator app"),
    "totp_is_on": (
        "Eingerichtet: die Anmeldung verlangt ihren Code. Wiederherstellungscodes übrig: {left}.",
        "Set up: logging in takes its code. Recovery codes left: {left}.",
    ),
    "totp_is_off": (
        "Nicht eingerichtet. Mit ihr genügt ein gestohlenes Passwort nicht mehr.",
        "Not set up. With it, a stolen password is no longer enough.",
    ),
    "totp_add": ("App einrichten", "Set up an app"),
    "totp_remove": ("App entfernen", "Remove the app"),
    "totp_scan": (
        "Mit der App einscannen oder den Schlüssel eintippen; dann ihren ersten Code eingeben.",
        "Scan it with the app or type in the key; then enter its first code.",
    ),
    "totp_code": ("Code der App", "The app's code"),
    "recovery_codes": (
        (
            "Wiederherstellungscodes: jeder öffnet einmal, wenn die App fehlt. Sie stehen nur "
            "hier; bewahren Sie sie sicher auf."
        ),
        (
            "Recovery codes: each opens once when the app is missing. They are shown here only; "
            "keep them safe."
        ),
    ),
    "passkeys": ("Passkeys", "Passkeys"),
    "passkeys_text": (
        (
            "Ein Passkey ersetzt Passwort und Code: das Gerät prüft Fingerabdruck oder PIN und "
            "gibt den Schlüssel nie heraus."
        ),
        (
            "A passkey stands for password and code: the device checks fingerprint or PIN and "
            "never hands out the key."
        ),
    ),
    "passkey_name": ("Name, z. B. Laptop", "Name, e.g. laptop"),
    "passkey_add": ("Passkey hinzufügen", "Add a passkey"),
    "passkey_make": ("Passkey anlegen", "Make the passkey"),
    "passkey_make_text": (
        "Ihr Browser fragt gleich nach Fingerabdruck, PIN oder Sicherheitsschlüssel.",
        "Your browser will ask for a fingerprint, a PIN or a security key.",
    ),
    "passkey_failed": (
        "Der Browser hat keinen Passkey geliefert; abgebrochen, oder es gibt hier keinen.",
        "The browser gave no passkey; it was cancelled, or there is none here.",
    ),
    "providers": ("Andere Anmeldedienste", "Other login services"),
    "providers_text": (
        ("Ein verknüpftes Konto ersetzt das Passwort, nicht den Code der Authenticator-App."),
        "A linked account stands for the password, not for the authenticator app's code.",
    ),
    "provider_link": ("Mit {name} verknüpfen", "Link with {name}"),
    "provider_unlink": ("Verknüpfung mit {name} lösen", "Remove the link with {name}"),
    "provider_go": ("Weiter zu {name}", "On to {name}"),
    "provider_go_text": (
        "Melden Sie sich dort mit dem Konto an, das künftig auch dieses hier öffnen soll.",
        "Sign in there with the account that shall open this one, too, from now on.",
    ),
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
    # Users.
    "users": ("Benutzer", "Users"),
    "role": ("Rolle", "Role"),
    "role_administrator": ("Administrator", "Administrator"),
    "role_rc_administrator": ("remoteConnect-Administrator", "remoteConnect Administrator"),
    "role_rc_user": ("remoteConnect-Benutzer", "remoteConnect User"),
    "role_auditor": ("Prüfer", "Auditor"),
    "add_user": ("Benutzer anlegen", "Add a user"),
    "user_made": (
        "Einmal-Passwort für {name}. Es steht nur hier:",
        "One-time password for {name}. It is shown here only:",
    ),
    "disable": ("Sperren", "Disable"),
    "disabled": ("gesperrt", "disabled"),
    # Computers.
    "computers": ("Meine Rechner", "My computers"),
    "computers_text": (
        "Sitzungen starten nur auf Rechnern, die einmal angemeldet wurden.",
        "Sessions start only on computers that were enrolled once.",
    ),
    "no_computers": ("Noch keiner.", "None yet."),
    "add_computer": ("Rechner anmelden", "Enrol a computer"),
    "computer_name": ("Name des Rechners", "Name of the computer"),
    "computer_code": (
        "Auf dem Rechner eingeben. Der Code steht nur hier und gilt einmal, bis {time}:",
        "Enter this on the computer. The code is shown here only and works once, until {time}:",
    ),
    "computer_online": ("verbunden", "connected"),
    "computer_enrolled": ("angemeldet", "enrolled"),
    "computer_waiting": ("Code noch nicht benutzt", "code not used yet"),
    # The record.
    "record": ("Protokoll", "Record"),
    "record_text": (
        "Jede Zeile ist mit der vorigen verkettet; „controld audit verify“ prüft alle.",
        "Each row is chained to the one before; “controld audit verify” checks them all.",
    ),
    "at": ("Wann", "When"),
    "actor": ("Wer", "Who"),
    "action": ("Was", "What"),
    "detail": ("Einzelheiten", "Detail"),
    "newer": ("Weiter", "Next"),
    "no_records": ("Keine weiteren Einträge.", "No further entries."),
    # What can go wrong.
    "error_title": ("Das ging nicht", "That did not work"),
    "error_form": (
        "Dieses Formular stammt nicht von dieser Seite oder ist zu alt. Laden Sie die Seite neu.",
        "This form is not from this page, or too old. Load the page again.",
    ),
    "error_host": (
        (
            "Unter dem Namen „{host}“ ist dieses Portal nicht bekannt; „host“ in controld.toml "
            "nennt "
            "den richtigen."
        ),
        "This portal is not known as “{host}”; `host` in controld.toml names the right one.",
    ),
    "error_store": (
        (
            "Es kann gerade nichts gespeichert werden, darum ist nichts geschehen. Versuchen Sie "
            "es "
            "später noch einmal."
        ),
        "Nothing can be stored at the moment, so nothing was done. Try again later.",
    ),
    "error_slow": ("Die Anfrage dauerte zu lange.", "The request took too long."),
    "error_request": ("Die Anfrage ist nicht lesbar.", "The request cannot be read."),
    "error_fault": (
        "Ein Fehler im Portal; sein Protokoll sagt mehr.",
        "A fault in the portal; its log says more.",
    ),
    "refused_login_failed": (
        "Name oder Passwort stimmen nicht.",
        "The name or the password is wrong.",
    ),
    "refused_second_factor_required": (
        "Bitte auch den Code der Authenticator-App oder einen Wiederherstellungscode eingeben.",
        "Please enter the code of the authenticator app or a recovery code, too.",
    ),
    "refused_second_factor_wrong": (
        "Der Code ist falsch, schon benutzt oder abgelaufen.",
        "The code is wrong, was used before, or its time is over.",
    ),
    "refused_has_totp": (
        "Es ist schon eine App eingerichtet; entfernen Sie sie zuerst.",
        "There is an app already; remove that one first.",
    ),
    "refused_passkey_refused": (
        "Dieser Passkey passt nicht, oder es dauerte zu lange. Beginnen Sie noch einmal.",
        "This passkey does not fit, or it took too long. Begin again.",
    ),
    "refused_passkey_known": (
        "Dieser Passkey ist schon eingetragen.",
        "This passkey is enrolled already.",
    ),
    "refused_no_passkeys": (
        "Passkeys brauchen einen Rechnernamen; dieses Portal wird unter einer Adresse betrieben.",
        "Passkeys need a host name; this portal runs under an address.",
    ),
    "refused_not_linked": (
        (
            "Dieses Konto ist hier mit keinem Benutzer verknüpft. Melden Sie sich mit dem Passwort "
            "an und verknüpfen Sie es unter „Anmeldung“."
        ),
        (
            "This account is linked with no user here. Log in with the password, and link it under "
            "“Sign-in”."
        ),
    ),
    "refused_provider_refused": (
        (
            "Der Anmeldedienst hat nicht bestätigt, wer Sie sind, oder ist nicht erreichbar. "
            "Versuchen Sie es noch einmal oder nehmen Sie das Passwort."
        ),
        (
            "The login service did not confirm who you are, or cannot be reached. Try again, or "
            "use the password."
        ),
    ),
    "refused_provider_flow_over": (
        "Das dauerte zu lange oder war schon benutzt. Beginnen Sie noch einmal.",
        "That took too long, or was used before. Begin again.",
    ),
    "refused_provider_linked": (
        "Mit diesem Anmeldedienst ist schon ein Konto verknüpft; lösen Sie erst diese Verknüpfung.",
        "There is a link to this login service already; remove that one first.",
    ),
    "refused_subject_taken": (
        "Dieses Konto des Anmeldedienstes ist schon mit einem Benutzer verknüpft.",
        "This account of the login service is linked with a user already.",
    ),
    "refused_too_many_logins": (
        "Zu viele Fehlversuche für dieses Konto. Warten Sie etwas; es wird jedes Mal länger.",
        "Too many failed logins for this account. Wait a while; it gets longer each time.",
    ),
    "refused_bad_time": (
        "Diese Zeit oder Zeitzone gibt es nicht.",
        "This time or time zone does not exist.",
    ),
    "refused_not_found": ("Das gibt es hier nicht.", "There is no such thing here."),
    "refused_forbidden": ("Ihre Rolle erlaubt das nicht.", "Your role does not allow this."),
    "refused_no_service": (
        "Wählen Sie mindestens einen Dienst oder nennen Sie einen Port.",
        "Choose at least one service or name a port.",
    ),
    "refused_no_target": (
        "Wählen Sie mindestens eine Maschine mit einem Dienst.",
        "Choose at least one machine and service.",
    ),
    "refused_not_assigned": (
        "Diese Sitzung ist nicht für Sie freigegeben.",
        "This session is not released for you.",
    ),
    "refused_session_over": (
        "Diese Sitzung ist beendet; lassen Sie eine neue vorbereiten.",
        "This session has ended; let a new one be prepared.",
    ),
    "refused_already_started": (
        "Diese Sitzung wird schon benutzt.",
        "This session is already in use.",
    ),
    "refused_window_not_open": (
        "Der Zeitraum der Sitzung hat noch nicht begonnen.",
        "The session's time has not begun.",
    ),
    "refused_window_over": (
        "Der Zeitraum der Sitzung ist vorbei.",
        "The session's time is over.",
    ),
    "refused_gateway_offline": (
        (
            "Das Gateway ist nicht erreichbar: ohne Netz, oder an der Anlage auf AUS geschaltet. "
            "Einschalten kann nur die Anlage, auf ihrer AMS-Seite."
        ),
        (
            "The gateway is out of reach: without network, or switched OFF at the plant. Only the "
            "plant can switch it on, on its AMS page."
        ),
    ),
    "refused_access_off": (
        "Der Fernzugriff ist an der Anlage auf AUS geschaltet. Einschalten kann nur die Anlage.",
        "Remote access is switched OFF at the plant. Only the plant can switch it on.",
    ),
    "refused_no_relay": (
        "Kein Relay ist eingerichtet; tragen Sie eines in controld.toml ein ([[relays]]).",
        "No relay is configured; add one to controld.toml ([[relays]]).",
    ),
}
