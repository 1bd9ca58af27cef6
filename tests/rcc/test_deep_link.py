from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcc.deep_link import parse_deep_link
from rclib.wire.errors import DecodeError

SESSION = "ses_" + "a" * 16


def test_a_link_names_server_session_and_ticket() -> None:
    link = parse_deep_link(
        f"remoteconnect://cloud.example:8443/connect?session={SESSION}&ticket=T1"
    )
    assert link.server == "https://cloud.example:8443"
    assert (link.session, link.ticket) == (SESSION, "T1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://cloud.example/connect?session=x&ticket=y",
        f"remoteconnect://cloud.example/other?session={SESSION}&ticket=T",
        f"remoteconnect:///connect?session={SESSION}&ticket=T",
        f"remoteconnect://evil@cloud.example/connect?session={SESSION}&ticket=T",
        f"remoteconnect://cloud.example/connect?session={SESSION}",
        f"remoteconnect://cloud.example/connect?session={SESSION}&ticket=T&ticket=U",
        "remoteconnect://cloud.example/connect?session=../../etc&ticket=T",
        f"remoteconnect://cloud.example/connect?session={SESSION}&ticket=" + "T" * 1000,
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_deep_link(text)


@given(st.text(max_size=200))
def test_no_text_makes_it_fall_over(text: str) -> None:
    with contextlib.suppress(DecodeError):
        parse_deep_link("remoteconnect://" + text)
