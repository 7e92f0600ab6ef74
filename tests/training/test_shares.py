"""How a fixed time is shared out among trainings."""

from __future__ import annotations

import pytest

from nstbench.training.listed.shares import Deadline, Pace, groups, owed


class TestOwed:
    def test_new_trainings_share_the_time_by_weight(self):
        assert owed({"a": 1, "b": 3}, {}, 8) == {"a": 2, "b": 6}

    def test_time_of_earlier_calls_counts(self):
        """Ten seconds went to a alone, so the next ten go to b."""
        assert owed({"a": 1, "b": 1}, {"a": 10}, 10) == {"a": 0, "b": 10}
        assert owed({"a": 1, "b": 1}, {"a": 10}, 30) == {"a": 10, "b": 20}

    def test_a_training_with_too_much_takes_nothing_from_the_others(self):
        due = owed({"a": 1, "b": 1, "c": 2}, {"a": 100, "c": 3}, 9)
        assert due == {"a": 0, "b": 4, "c": 5}
        assert sum(due.values()) == 9

    @pytest.mark.parametrize("spent", [{}, {"a": 5}, {"a": 500, "b": 2}, {"a": 1, "b": 2, "c": 3}])
    def test_the_whole_time_is_handed_out(self, spent):
        due = owed({"a": 1.5, "b": 1, "c": 0.2}, spent, 60.0)
        assert sum(due.values()) == pytest.approx(60)
        assert min(due.values()) >= 0


class TestPace:
    def simulated(self, weights, costs, probes, chunks=40, seconds=1.0):
        """Return the pace of trainings whose steps together take the sum of their costs."""
        pace = Pace(dict(weights))
        for name, cost in probes.items():
            pace.probed(name, 1, cost)
        done = dict.fromkeys(weights, 0)
        for _ in range(chunks):
            counts = pace.counts(seconds)
            pace.book(counts, sum(count * costs[name] for name, count in counts.items()))
            for name, count in counts.items():
                done[name] += count
        return pace, done

    def test_time_follows_the_weights_and_not_the_steps(self):
        costs = {"a": 0.01, "b": 0.04}
        pace, done = self.simulated({"a": 0.25, "b": 0.75}, costs, costs)
        spent = {name: done[name] * costs[name] for name in costs}
        assert spent["a"] / sum(spent.values()) == pytest.approx(0.25, abs=0.01)
        assert pace.used["b"] / pace.used["a"] == pytest.approx(3, rel=0.05)

    def test_steps_longer_than_the_time_are_shared_as_well(self):
        costs = {"a": 3.0, "b": 3.0}
        _, done = self.simulated({"a": 0.25, "b": 0.75}, costs, costs, chunks=40)
        assert done == {"a": 10, "b": 30}

    def test_probes_that_ran_alone_are_corrected(self):
        """Alone, every step took three times as long as beside the other."""
        costs = {"a": 0.01, "b": 0.02}
        pace, _ = self.simulated(
            {"a": 0.5, "b": 0.5}, costs, {name: 3 * cost for name, cost in costs.items()}
        )
        assert pace.costs["a"] == pytest.approx(0.01, rel=0.02)
        assert pace.steps_in("b", 10) == pytest.approx(250, rel=0.02)

    def test_the_time_of_a_training_that_ends_goes_to_the_others(self):
        pace = Pace({"a": 0.5, "b": 0.25, "c": 0.25})
        for name in "abc":
            pace.probed(name, 1, 0.1)
        pace.drop("a")
        assert pace.weights == {"b": 0.5, "c": 0.5}
        assert set(pace.counts(1.0)) == {"b", "c"}


def test_a_part_of_the_time_is_kept():
    now = [100.0]
    deadline = Deadline(600.0, 100.0, lambda: now[0])
    assert deadline.left() == pytest.approx(588)
    now[0] = 690.0
    assert deadline.left() < 0 < deadline.last()
    assert Deadline(4.0, 100.0, lambda: 100.0).left() == pytest.approx(3.0)


def test_groups_have_one_kind_and_equal_sizes():
    names = [f"a{i}" for i in range(5)] + ["b0"]
    found = groups(names, {name: name[0] for name in names}, 4)
    assert found == [["a0", "a1", "a2"], ["a3", "a4"], ["b0"]]
    assert groups(names, {name: name[0] for name in names}, 1) == [[name] for name in names]
