"""Runs with processes killed at random end with the table of an undisturbed run, bit for bit."""

from __future__ import annotations

import importlib.util

import pytest
from chaos import Chaos, RayChaos
from ray_nodes import RayNodes

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="the package ray is not installed: pip install 'nstbench[ray]'",
)


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


@pytest.fixture
def ray_chaos(tmp_path):
    with RayNodes() as nodes:
        nodes.join()
        yield RayChaos(tmp_path, nodes)


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_round_with_ray(ray_chaos):
    # With this seed, the first kill is that of a node.
    outcome = ray_chaos.round(6)
    assert outcome.in_flight > 0
    assert outcome.repeated <= outcome.in_flight


@needs_ray
@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_eight_rounds_with_ray(ray_chaos):
    for seed in range(200, 208):
        outcome = ray_chaos.round(seed)
        print(seed, outcome, flush=True)
        assert outcome.repeated <= outcome.in_flight
