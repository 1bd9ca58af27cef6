from __future__ import annotations

from prometheus_client import Counter

from rclib.runtime.metrics import exposition, new_registry


def test_every_process_tells_its_build_and_its_memory() -> None:
    body, content_type = exposition(new_registry("relayd", "1.2.3"))

    assert b'remoteconnect_build_info{program="relayd",version="1.2.3"} 1.0' in body
    assert b"process_resident_memory_bytes" in body
    assert content_type.startswith("text/plain")


def test_two_services_of_a_process_do_not_meet_each_others_counters() -> None:
    for program in ("one", "two"):
        counter = Counter("legs", "Legs opened", registry=new_registry(program, "1"))
        counter.inc()
