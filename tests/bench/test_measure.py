from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass

import pytest

from bench import measure


@dataclass
class Figures:
    speed: float
    lost: int


def test_candidates_take_turns_and_every_other_round_goes_backwards() -> None:
    order: list[str] = []
    candidates = {name: lambda name=name: order.append(name) for name in "ab"}

    results = measure.interleave(candidates, 3)

    assert "".join(order) == "abbaab"
    assert {name: len(found) for name, found in results.items()} == {"a": 3, "b": 3}


def test_ratios_are_of_the_same_round() -> None:
    assert measure.ratio([2.0, 9.0, 4.0], [1.0, 3.0, 2.0]) == measure.Spread(2.0, 2.0, 3.0)


def test_medians_are_by_field() -> None:
    rounds = [Figures(1.0, 5), Figures(3.0, 0), Figures(2.0, 0)]
    assert measure.medians(rounds) == {"speed": 2.0, "lost": 0}


def test_cpu_time_counts_work_and_not_sleep() -> None:
    started = measure.cpu_s(os.getpid())
    worked_until = time.process_time() + 0.2
    while time.process_time() < worked_until:
        pass
    assert 0.15 <= measure.cpu_s(os.getpid()) - started <= 2


def test_a_report_is_one_json_object_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    measure.report("x", {"ratio": measure.spread([1, 2, 4])})

    document = json.loads(capsys.readouterr().out)

    assert document["x"]["ratio"] == {"median": 2, "lowest": 1, "highest": 4}
    assert document["x"]["machine"]["cpus"] == os.cpu_count()


def test_a_round_in_which_a_candidate_did_nothing_is_left_out_of_the_ratio() -> None:
    assert measure.ratio([4.0, 6.0, 8.0], [2.0, 0.0, 2.0]) == measure.Spread(3.0, 2.0, 4.0)
    with pytest.raises(ValueError, match="no round"):
        measure.ratio([1.0], [0.0])
