"""German and English for what can go wrong."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
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
