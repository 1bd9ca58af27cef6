"""German and English for what can go wrong, and what to do then."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
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
    "not_saved": (
        "Nicht gespeichert: Eine Angabe unten passt nicht.",
        "Not saved: something below does not fit.",
    ),
    "typed_below": ("Unten steht, was Sie eingegeben haben.", "Below is what you entered."),
    "holds_now": ("Was jetzt gilt", "What holds now"),
    "wrong_field": ("Diese Angabe fehlt oder passt nicht.", "This is missing or does not fit."),
    "wrong_windows": (
        "Ein Fenster braucht mindestens einen Tag, einen Beginn und ein Ende.",
        "A window takes at least one day, a beginning and an end.",
    ),
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
    "refused_changed_meanwhile": (
        "Jemand hat das inzwischen geändert. Sehen Sie nach, was jetzt gilt, und ändern Sie dann.",
        "Somebody changed this meanwhile. See what holds now, and then make your change.",
    ),
    "refused_unknown_time_zone": (
        "Diese Zeitzone gibt es nicht; sie heißen wie Europe/Berlin.",
        "There is no such time zone; their names are like Europe/Berlin.",
    ),
    "refused_too_many_tokens": (
        "Mehr Schlüssel darf ein Benutzer nicht haben; widerrufen Sie erst einen.",
        "A user may have no more tokens; revoke one first.",
    ),
    "refused_name_taken": (
        "Diesen Namen gibt es schon; nehmen Sie einen anderen.",
        "This name is taken; choose another one.",
    ),
    "refused_bad_address": (
        "Das ist nicht die IP-Adresse einer Maschine, wie 192.168.1.10.",
        "This is not the IP address of a machine, like 192.168.1.10.",
    ),
    "refused_bad_request": (
        "Eine Angabe fehlt oder passt nicht. Gehen Sie zurück, prüfen Sie die Felder.",
        "Something is missing or does not fit. Go back and look at the fields.",
    ),
    "refused_bad_text": (
        "Ein Text enthält ein Zeichen, das kein Text enthalten kann.",
        "A text has a character that no text can have.",
    ),
    "refused_no_release_wanted": (
        "Diese Sitzung braucht keine Freigabe; starten Sie sie.",
        "This session needs no release; start it.",
    ),
    "refused_not_released": (
        "Erst muss eine zweite Person diese Sitzung freigeben.",
        "A second person has to release this session first.",
    ),
    "refused_released_by_you": (
        "Sie haben diese Sitzung freigegeben, darum muss sie jemand anderes benutzen.",
        "You released this session, so somebody else has to use it.",
    ),
    "refused_own_request": (
        "Sie haben die Freigabe erbeten; geben muss sie jemand anderes.",
        "You asked for the release; somebody else has to give it.",
    ),
    "refused_own_session": (
        "Sie stehen selbst in dieser Sitzung; freigeben muss sie jemand anderes.",
        "This session names you yourself; somebody else has to release it.",
    ),
    "refused_reason_required": (
        "Diese Anlage will wissen, warum: Nennen Sie beim Starten einen Grund.",
        "This plant wants to know why: give a reason when you start.",
    ),
    "refused_duration_too_long": (
        "So lange darf eine Sitzung an dieser Anlage nicht dauern; wählen Sie eine kürzere Zeit.",
        "A session at this gateway may not take that long; choose a shorter time.",
    ),
    "refused_service_not_offered": (
        "Dieser Dienst steht nicht mehr bei der Maschine. Laden Sie die Seite neu.",
        "The machine does not have this service any more. Load the page again.",
    ),
    "refused_no_maintenance": (
        "Jetzt ist kein Wartungsfenster; die Regeln der Anlage nennen die Zeiten.",
        "This is no maintenance window; the gateway's policy names the times.",
    ),
    "refused_gateway_busy": (
        "Hier sind schon so viele Sitzungen offen wie erlaubt. Warten Sie, bis eine endet.",
        "As many sessions as this gateway allows are open already. Wait until one ends.",
    ),
    "refused_user_busy": (
        "Sie haben schon so viele Sitzungen offen, wie ein Benutzer darf; beenden Sie erst eine.",
        "You have as many sessions open as one user may have; end one first.",
    ),
    "refused_window_empty": (
        "Der Zeitraum endet, bevor er beginnt, oder ist schon vorbei.",
        "The time ends before it begins, or is over already.",
    ),
    "refused_wrong_state": (
        "In diesem Zustand der Sitzung geht das nicht; laden Sie ihre Seite neu.",
        "The session's state does not allow this; load its page again.",
    ),
    "refused_not_yours": (
        "Diese Sitzung benutzt gerade jemand anderes.",
        "Somebody else is using this session.",
    ),
    "refused_user_disabled": (
        "Ein genannter Benutzer ist gesperrt; wählen Sie einen anderen.",
        "A user you named is disabled; choose another one.",
    ),
    "refused_last_administrator": (
        "Jede Organisation braucht einen Administrator. Machen Sie erst jemand anderen dazu.",
        "Every organisation needs an administrator. Make somebody else one first.",
    ),
    "refused_operator_only": (
        "Organisationen legt nur an, wer dieses Portal betreibt.",
        "Only who runs this portal adds organisations.",
    ),
    "refused_own_account": (
        "Sich selbst kann niemand sperren; das macht eine andere Person der Verwaltung.",
        "Nobody can disable their own account; let another administrator do it.",
    ),
    "refused_password_unfit": (
        "Dieses Passwort ist zu kurz oder zu bekannt; nehmen Sie einen längeren Satz.",
        "This password is too short or too well known; take a longer sentence.",
    ),
    "refused_too_many_passkeys": (
        "Mehr Passkeys darf ein Benutzer nicht haben; entfernen Sie erst einen.",
        "A user may have no more passkeys; remove one first.",
    ),
    "refused_token_scope": (
        "Dieser Schlüssel wurde nicht dafür gemacht.",
        "This token was not made for that.",
    ),
    "refused_being_verified": (
        "Das Protokoll wird gerade geprüft; versuchen Sie es gleich noch einmal.",
        "The record is being checked; try again in a moment.",
    ),
}
