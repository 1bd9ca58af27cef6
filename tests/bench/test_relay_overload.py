"""The overload's figures: what counts as one."""

from __future__ import annotations

import pytest

from bench import relay_overload
from bench.relay_load import Load
from bench.relay_overload import Case


def load(goodput: float, offered: float) -> Load:
    return Load(goodput, 4.0, 0.25, 0.0, offered, 0.0)


def test_a_round_in_which_the_generator_was_starved_is_no_overload() -> None:
    cases = [Case(1.0, load(0.2, 0.6)), Case(1.0, load(0.9, 3.0)), Case(0.5, load(0.5, 1.4))]
    told = relay_overload.figures(cases, load(5.0, 5.0))
    assert told["goodput_of_peak"] == relay_overload.Spread(0.95, 0.9, 1.0)
    with pytest.raises(SystemExit, match="too busy"):
        relay_overload.figures(cases[:1], load(5.0, 5.0))
