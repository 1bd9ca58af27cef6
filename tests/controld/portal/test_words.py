"""The portal's sentences: all there, in both languages, also for what can be refused."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import controld
from controld.maintenance import Weekday
from controld.portal.words import TABLES, WORDS
from controld.records import ReasonPolicy, ReleasePolicy, SessionState
from controld.roles import Action, Role
from controld.start_rules import StartRefusal
from rclib.pages.language import LANGUAGES
from rclib.wire.audit import AuditAction
from rclib.wire.session import EndReason, PathKind

CONTROLD: Final = Path(controld.__file__).parent
# What no page runs into: the API's own, or answered by a page of its own.
WITHOUT_A_PAGE: Final = {
    "enrolment_code_invalid",
    "host_refused",
    "idempotency_key_reused",
    "key_enrolled_elsewhere",
    "link",
    "not_json",
    "not_signed_in",
    "origin_refused",
    "password_change_required",
    "signature_invalid",
    "too_many_links",
    "too_many_streams",
}


def test_every_sentence_is_there_in_every_language() -> None:
    assert [key for key, texts in WORDS.items() if len(texts) != len(LANGUAGES)] == []
    assert [key for key, texts in WORDS.items() if not all(texts)] == []


def test_no_key_stands_in_two_tables() -> None:
    assert len(WORDS) == sum(len(table) for table in TABLES)


def test_both_languages_take_the_same_values() -> None:
    for key, texts in WORDS.items():
        wanted = [sorted(re.findall(r"\{(\w+)\}", text)) for text in texts]
        assert wanted[0] == wanted[1], key


def test_every_member_of_a_closed_set_has_a_name() -> None:
    named = {
        "action": Action,
        "day": Weekday,
        "end": EndReason,
        "event": AuditAction,
        "path": PathKind,
        "reason": ReasonPolicy,
        "release": ReleasePolicy,
        "role": Role,
        "session_state": SessionState,
    }
    for kind, members in named.items():
        assert [m.value for m in members if f"{kind}_{m.value}" not in WORDS] == [], kind


def test_every_refusal_has_a_sentence() -> None:
    codes = {refusal.value for refusal in StartRefusal} | {"changed_meanwhile", "not_found"}
    for path in CONTROLD.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_refusal(node):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    codes.add(str(first.value))
    assert sorted(c for c in codes - WITHOUT_A_PAGE if f"refused_{c}" not in WORDS) == []


def _is_refusal(node: ast.Call) -> bool:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    kinds = ("Invalid", "Forbidden", "Conflict", "Unauthenticated", "TooMany")
    return name in {f"{kind}Error" for kind in kinds} and bool(node.args)
