"""Whoever is killed whenever: the table at the end is that of an undisturbed run, bit for bit."""

from __future__ import annotations

import pytest
from chaos import Chaos


@pytest.fixture(scope="module")
def chaos(tmp_path_factory):
    return Chaos(tmp_path_factory.mktemp("chaos"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_rounds(chaos):
    for seed in (1, 2):
        outcome = chaos.round(seed)
        assert outcome.repeated <= outcome.in_flight


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_thirty_rounds(chaos):
    for seed in range(100, 130):
        outcome = chaos.round(seed)
        print(seed, outcome, flush=True)
        assert outcome.repeated <= outcome.in_flight
