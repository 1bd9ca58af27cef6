"""Offers that wait for the plant: only a person opens, and only what that person was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rcd.audit_heads import AuditHeads
from rcd.commands import PinIdentity, PrepareTunnel, SendRelease, Tell
from rcd.journal import Journal
from rcd.offers import Offers
from rcd.records import Records
from rcd.releases import Releases
from rcd.sessions import Sessions
from rclib.tunnel.audit_spool import AuditSpool
from rclib.tunnel.enrolment import load_or_make_identity
from rclib.tunnel.pins import Pins
from rclib.wire.audit import AuditAction
from rclib.wire.control import ReleasePending, SessionRefusal
from rclib.wire.ids import EndpointId, IdentityKey, Signature
from rclib.wire.session import RefusalReason
from tests.rcd.test_sessions import IDENTITY_KEY, LIFE_S, NOW, SENT_MS, offer, session_id

if TYPE_CHECKING:
    from pathlib import Path

    from rcd.commands import Command

WAIT_S = 300
OWN_KEY = IdentityKey(b"o" * 32)
BY = "shift lead @ 192.168.1.20"


class Plant:
    """One gateway's way in, with its real record on disk."""

    def __init__(self, directory: Path, *, required: bool = True, max_sessions: int = 4) -> None:
        self.on = True
        self.sessions = Sessions(max_sessions=max_sessions, technician_grace_s=120)
        self.releases = Releases(
            OWN_KEY, required=required, wait_s=WAIT_S, max_waiting=max_sessions
        )
        self.pins = Pins(directory / "pins.json")
        self.spool = AuditSpool(directory / "audit.spool")
        journal = Journal(directory, load_or_make_identity(directory))
        heads = AuditHeads(directory / "audit-heads.jsonl")
        self.records = Records(self.spool, journal, heads, structlog.get_logger())
        self.offers = Offers(self.sessions, self.releases, self.records, self.pins, lambda: self.on)

    def actions(self) -> list[AuditAction]:
        return [event.action for event in self.spool.batch()]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def refusals(commands: list[Command] | None) -> list[RefusalReason]:
    bodies = [c.body for c in commands or [] if isinstance(c, Tell)]
    return [body.reason for body in bodies if isinstance(body, SessionRefusal)]


def opens(commands: list[Command] | None) -> bool:
    return any(isinstance(c, PrepareTunnel | PinIdentity) for c in commands or [])


def test_an_offer_waits_and_nothing_is_opened_or_pinned(plant: Plant) -> None:
    commands = plant.offers.consider(offer(), SENT_MS, NOW)
    assert not opens(commands)
    assert Tell(ReleasePending(session_id(), WAIT_S, OWN_KEY)) in commands
    (waiting,) = plant.releases.waiting
    assert waiting.offer == offer()
    assert not waiting.is_known
    assert plant.sessions.open == ()


def test_a_release_is_on_disk_before_anything_opens(plant: Plant) -> None:
    plant.offers.consider(offer(), SENT_MS, NOW)
    commands = plant.offers.release(session_id(), BY, None, NOW + 20)
    assert commands is not None
    assert commands[0] == SendRelease(offer(), BY, offer().not_after_ms)
    assert opens(commands)
    assert plant.actions() == [AuditAction.SESSION_RELEASED, AuditAction.OFFER_ACCEPTED]
    (session,) = plant.sessions.open
    assert session.released_by == BY
    assert session.not_after == pytest.approx(NOW + LIFE_S)


def test_a_hacked_control_plane_cannot_leave_the_release_out(tmp_path: Path) -> None:
    plain = offer(needs_release=False)
    assert not opens(Plant(tmp_path, required=True).offers.consider(plain, SENT_MS, NOW))


def test_the_offer_may_want_a_release_that_the_plant_does_not(tmp_path: Path) -> None:
    plant = Plant(tmp_path, required=False)
    assert opens(plant.offers.consider(offer(1), SENT_MS, NOW))
    assert not opens(plant.offers.consider(offer(2, needs_release=True), SENT_MS, NOW))


def test_the_plant_may_shorten_the_time_but_never_lengthen_it(plant: Plant) -> None:
    plant.offers.consider(offer(0), SENT_MS, NOW)
    plant.offers.consider(offer(1), SENT_MS, NOW)
    shorter = plant.offers.release(session_id(0), BY, 3600, NOW + 100)
    longer = plant.offers.release(session_id(1), BY, 7 * 24 * 3600, NOW + 100)
    assert shorter is not None
    assert longer is not None
    (first,) = [c for c in shorter if isinstance(c, SendRelease)]
    (second,) = [c for c in longer if isinstance(c, SendRelease)]
    assert first.until_ms == SENT_MS + 100_000 + 3_600_000
    assert second.until_ms == offer().not_after_ms
    ends = [session.not_after for session in plant.sessions.open]
    assert ends == pytest.approx([NOW + 100 + 3600, NOW + LIFE_S])


def test_what_was_shown_is_what_is_released(plant: Plant) -> None:
    plant.offers.consider(offer(), SENT_MS, NOW)
    wider = offer(targets=(*offer().targets, msgspec.structs.replace(offer().targets[0], port=22)))
    assert plant.offers.consider(wider, SENT_MS, NOW + 1) == []
    commands = plant.offers.release(session_id(), BY, None, NOW + 2)
    assert commands is not None
    (session,) = plant.sessions.open
    assert session.offer.targets == offer().targets


def test_a_refusal_reaches_the_technician_and_the_record(plant: Plant) -> None:
    plant.offers.consider(offer(), SENT_MS, NOW)
    commands = plant.releases.refused(session_id(), BY)
    assert refusals(commands) == [RefusalReason.NOT_RELEASED]
    assert plant.releases.refused(session_id(), BY) is None
    assert plant.offers.release(session_id(), BY, None, NOW + 1) is None


def test_nobody_waits_longer_than_the_wait_or_the_lease(plant: Plant) -> None:
    plant.offers.consider(offer(0), SENT_MS, NOW)
    plant.offers.consider(offer(1, lease_until_ms=SENT_MS + 60_000), SENT_MS, NOW)
    assert plant.releases.deadline() == NOW + 60
    assert plant.offers.release(session_id(1), BY, None, NOW + 60) is None
    assert refusals(plant.releases.due(NOW + 60)) == [RefusalReason.NOT_RELEASED]
    assert refusals(plant.releases.due(NOW + WAIT_S)) == [RefusalReason.NOT_RELEASED]
    assert plant.releases.deadline() is None


def test_off_turns_everyone_away_and_a_late_click_opens_nothing(plant: Plant) -> None:
    plant.offers.consider(offer(), SENT_MS, NOW)
    plant.on = False
    assert plant.offers.release(session_id(), BY, None, NOW + 1) is None
    assert refusals(plant.releases.closed(BY)) == [RefusalReason.ACCESS_OFF]
    assert plant.releases.waiting == ()


def test_an_identity_that_changed_meanwhile_is_refused_at_the_release(plant: Plant) -> None:
    plant.offers.consider(offer(), SENT_MS, NOW)
    plant.pins.pin(EndpointId(offer().technician.client), IdentityKey(b"x" * 32))
    commands = plant.offers.release(session_id(), BY, None, NOW + 1)
    assert refusals(commands) == [RefusalReason.IDENTITY_CHANGED]
    assert not opens(commands)


def test_a_bad_signature_bothers_nobody(plant: Plant) -> None:
    forged = offer(peer=msgspec.structs.replace(offer().peer, signature=Signature(bytes(64))))
    commands = plant.offers.consider(forged, SENT_MS, NOW)
    assert refusals(commands) == [RefusalReason.BAD_SIGNATURE]
    assert plant.releases.waiting == ()


def test_a_known_computer_is_shown_as_known(plant: Plant) -> None:
    plant.pins.pin(EndpointId(offer().technician.client), IDENTITY_KEY)
    plant.offers.consider(offer(), SENT_MS, NOW)
    assert plant.releases.waiting[0].is_known


def test_only_so_many_may_wait(tmp_path: Path) -> None:
    plant = Plant(tmp_path, max_sessions=1)
    plant.offers.consider(offer(0), SENT_MS, NOW)
    assert refusals(plant.offers.consider(offer(1), SENT_MS, NOW)) == [RefusalReason.BUSY]


class FullDisk(AuditSpool):
    def append(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        raise OSError(28, "No space left on device")


def test_t17_without_room_for_the_record_nothing_is_admitted_or_released(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.offers.consider(offer(0), SENT_MS, NOW)
    with monkeypatch.context() as full:
        full.setattr(plant.spool, "append", FullDisk.append.__get__(plant.spool))
        with pytest.raises(OSError, match="No space left"):
            plant.offers.release(session_id(0), BY, None, NOW + 1)
        assert plant.sessions.open == ()
        refused = plant.offers.consider(offer(1), SENT_MS, NOW + 2)
        assert refusals(refused) == [RefusalReason.STORAGE]
    # Room again: the next event heals the record, and the technician still waits.
    assert opens(plant.offers.release(session_id(0), BY, None, NOW + 3))


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("offer", "release", "refuse", "withdraw", "off", "on", "due")),
        st.integers(0, 2),
        st.floats(0, 200),
    ),
    max_size=30,
)


@given(EVENTS)
def test_whatever_happens_only_a_released_offer_gets_in(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int, float]]
) -> None:
    plant = Plant(tmp_path_factory.mktemp("plant"))
    now, released = NOW, set()
    for what, number, wait_s in events:
        now += wait_s
        session = session_id(number)
        match what:
            case "offer":
                sent_ms = SENT_MS + int((now - NOW) * 1000)
                assert not opens(plant.offers.consider(offer(number), sent_ms, now))
            case "release":
                commands = plant.offers.release(session, BY, None, now)
                if opens(commands):
                    assert plant.on
                    released.add(session)
            case "refuse":
                plant.releases.refused(session, BY)
            case "withdraw":
                plant.releases.withdrawn(session)
            case "off":
                plant.on = False
                plant.releases.closed("")
            case "on":
                plant.on = True
            case "due":
                plant.releases.due(now)
                assert all(waiting.until > now for waiting in plant.releases.waiting)
        assert {s.offer.session for s in plant.sessions.open} <= released
