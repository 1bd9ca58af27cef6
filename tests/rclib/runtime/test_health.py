from __future__ import annotations

from rclib.runtime.health import Health, HealthState


def test_a_process_is_starting_until_it_says_it_is_ready() -> None:
    health = Health(stale_after_s=20)

    assert health.state(0) is HealthState.STARTING
    health.ready = True
    assert health.state(0) is HealthState.OK


def test_a_process_that_never_reports_is_judged_by_readiness_alone() -> None:
    assert Health(stale_after_s=20, ready=True).state(1e9) is HealthState.OK


def test_a_report_counts_until_it_is_stale() -> None:
    health = Health(stale_after_s=20, ready=True, reported_at=100)

    assert health.state(120) is HealthState.OK
    assert health.state(120.1) is HealthState.STALE


def test_stopping_outweighs_everything() -> None:
    health = Health(stale_after_s=20, ready=True, reported_at=0, stopping=True)

    assert health.state(0) is HealthState.STOPPING


def test_a_report_before_readiness_makes_nothing_ready() -> None:
    assert Health(stale_after_s=20, reported_at=0).state(0) is HealthState.STARTING
