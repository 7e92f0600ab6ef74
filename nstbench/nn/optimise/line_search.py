"""A line search for the strong Wolfe conditions, on numbers of the host.

Nocedal and Wright, "Numerical Optimization", algorithms 3.5 and 3.6, with cubic interpolation and
the safeguards of ``torch.optim.LBFGS``, so that both make the same trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

_DECREASE = 1e-4
_CURVATURE = 0.9
# An interpolated step keeps this share of an interval away from its ends if it came close twice.
_MARGIN = 0.1


@dataclass(frozen=True, slots=True)
class Point:
    """The function along a direction at one step.

    Attributes:
        step: multiple of the direction.
        loss: value of the function.
        slope: derivative along the direction.
        gradient: its gradient; None for the last evaluated point, whose gradient is still in the
            buffer of evaluations.
        stationary: True if the gradient is zero.
    """

    step: float
    loss: float
    slope: float
    gradient: torch.Tensor | None = None
    stationary: bool = False


def strong_wolfe(
    start: Point,
    first: Point,
    evaluate: Callable[[float], Point],
    keep: Callable[[Point], Point],
    limit: int,
) -> Point:
    """Return a point that satisfies the strong Wolfe conditions, or the best one of all trials.

    Args:
        start: the point at step 0, whose slope is negative.
        first: the first trial.
        evaluate: makes another trial.
        keep: returns a point with a copy of its gradient, before the next evaluation.
        limit: trials after the first one.
    """
    before, now, trials = start, first, 0
    while trials < limit:
        if _too_high(now, start) or (trials > 1 and now.loss >= before.loss):
            break
        if _flat_enough(now, start):
            return now
        if now.slope >= 0:
            break
        longest, shortest = now.step * 10, now.step + 0.01 * (now.step - before.step)
        step = interpolated(before, now, (shortest, longest))
        before, now = keep(now), evaluate(step)
        trials += 1
    else:
        return start if start.loss <= now.loss else now
    return _zoomed([before, now], start, evaluate, keep, limit - trials)


def _zoomed(
    ends: list[Point],
    start: Point,
    evaluate: Callable[[float], Point],
    keep: Callable[[Point], Point],
    limit: int,
) -> Point:
    """Shrink the interval between two points that contains a suitable one."""
    low = 0 if ends[0].loss <= ends[1].loss else 1
    close = False
    for _ in range(limit):
        step = interpolated(ends[0], ends[1])
        least, most = sorted(end.step for end in ends)
        margin = _MARGIN * (most - least)
        if min(most - step, step - least) < margin:
            if close or step >= most or step <= least:
                step = most - margin if abs(step - most) < abs(step - least) else least + margin
                close = False
            else:
                close = True
        else:
            close = False
        ends = [keep(end) for end in ends]
        now = evaluate(step)
        if _too_high(now, start) or now.loss >= ends[low].loss:
            ends[1 - low] = now
            low = 0 if ends[0].loss <= ends[1].loss else 1
            continue
        if _flat_enough(now, start):
            return now
        if now.slope * (ends[1 - low].step - ends[low].step) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = now
    return ends[low]


def interpolated(one: Point, other: Point, bounds: tuple[float, float] | None = None) -> float:
    """Return the step at the minimum of the cubic polynomial through two points.

    Args:
        one: a point.
        other: another point.
        bounds: least and largest step; the steps of the points by default.
    """
    left, right = (one, other) if one.step <= other.step else (other, one)
    least, most = bounds or (left.step, right.step)
    middle = (least + most) / 2
    try:
        slope = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.step - right.step)
        square = slope * slope - left.slope * right.slope
        if not square >= 0:
            return middle
        root = math.sqrt(square)
        share = (right.slope + root - slope) / (right.slope - left.slope + 2 * root)
    except ZeroDivisionError:
        return middle
    return min(max(right.step - (right.step - left.step) * share, least), most)


def _too_high(point: Point, start: Point) -> bool:
    return point.loss > start.loss + _DECREASE * point.step * start.slope


def _flat_enough(point: Point, start: Point) -> bool:
    return abs(point.slope) <= -_CURVATURE * start.slope
