"""German and English for the visitor's own account."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
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
    # Computers.
    "computers": ("Meine Rechner", "My computers"),
    "computers_text": (
        "Sitzungen starten nur auf Rechnern, die einmal angemeldet wurden.",
        "Sessions start only on computers that were enrolled once.",
    ),
    "no_computers": (
        "Noch keiner. Geben Sie diesem Rechner einen Namen; dann bekommen Sie seinen Code.",
        "None yet. Give this computer a name, and you get its code.",
    ),
    "add_computer": ("Rechner anmelden", "Enrol a computer"),
    "computer_name": ("Name des Rechners", "Name of the computer"),
    "computer_code": (
        "Auf dem Rechner eingeben. Der Code steht nur hier und gilt einmal, bis {time}:",
        "Enter this on the computer. The code is shown here only and works once, until {time}:",
    ),
    "computer_online": ("verbunden", "connected"),
    "computer_enrolled": ("angemeldet", "enrolled"),
    "computer_waiting": ("Code noch nicht benutzt", "code not used yet"),
    # API tokens.
    "tokens": ("API-Schlüssel", "API tokens"),
    "tokens_text": (
        (
            "Für Programme, die in Ihrem Namen arbeiten: Jeder Schlüssel kann nur, was Sie ihm "
            "geben und was Ihre Rolle erlaubt. Die Schnittstelle steht unter /api/v1/openapi.json."
        ),
        (
            "For programs that work in your name: each token can only do what you give it and "
            "your role allows. The interface is described at /api/v1/openapi.json."
        ),
    ),
    "tokens_manage": ("API-Schlüssel verwalten", "Manage API tokens"),
    "no_tokens": (
        "Noch kein Schlüssel. Legen Sie einen an, wenn ein Programm das Portal benutzen soll.",
        "No token yet. Make one when a program shall use this portal.",
    ),
    "token_made": (
        "Der Schlüssel „{name}“. Er steht nur hier; bewahren Sie ihn wie ein Passwort auf:",
        "The token “{name}”. It is shown here only; keep it like a password:",
    ),
    "token_add": ("Schlüssel anlegen", "Make a token"),
    "token_name": ("Wofür, z. B. Auswertung", "What for, e.g. reporting"),
    "token_scopes": ("Was er darf", "What it may do"),
    "token_days": ("Gilt für", "Works for"),
    "token_revoke": ("Widerrufen", "Revoke"),
    "token_incomplete": (
        "Ein Schlüssel braucht einen Namen und mindestens ein Recht.",
        "A token takes a name and at least one right.",
    ),
    "action_add_gateways": ("Anlagen und Maschinen verwalten", "Manage gateways and machines"),
    "action_see_gateways": ("Anlagen sehen", "See gateways"),
    "action_manage_users": ("Benutzer verwalten", "Manage users"),
    "action_see_users": ("Benutzer sehen", "See users"),
    "action_manage_organisations": ("Organisation verwalten", "Manage the organisation"),
    "action_enrol_client": ("Eigene Rechner anmelden", "Enrol own computers"),
    "action_prepare_sessions": ("Sitzungen vorbereiten", "Prepare sessions"),
    "action_change_session_devices": ("Sitzungen ändern", "Change sessions"),
    "action_release_sessions": ("Sitzungen freigeben", "Release sessions"),
    "action_start_sessions": ("Sitzungen starten", "Start sessions"),
    "action_end_sessions": ("Sitzungen beenden", "End sessions"),
    "action_see_sessions": ("Sitzungen sehen", "See sessions"),
    "action_read_audit": ("Protokoll lesen", "Read the record"),
}
