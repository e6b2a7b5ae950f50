"""Fitting a network into a budget: the widths that come nearest to a cost without passing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contextnet.compression.pruning.ranking import WidthLadder, with_shares
from contextnet.errors import CompressionError

STEPS = 20
"""Halvings of the severity: to a millionth."""

Cost = Callable[[Mapping[str, int]], float]
"""What a network of these widths costs, by the names of its groups."""


@dataclass(frozen=True)
class Fit:
    """Widths by group, and what the network costs with them."""

    widths: dict[str, int]
    cost: float


def fit_budget(ladder: WidthLadder, cost: Cost, target: float, *, steps: int = STEPS) -> Fit:
    """Give the widths of the largest network that costs at most ``target``.

    The severity is bisected; then groups are widened by what the next step of the ladder would give them, as long as
    the budget holds. Raises ``CompressionError`` when even the smallest network costs more.
    """
    whole = ladder.widths(0.0)
    if (whole_cost := cost(whole)) <= target:
        return Fit(whole, whole_cost)
    gentle, severe = 0.0, 1.0
    fitting = ladder.widths(severe)
    fitting_cost = cost(fitting)
    if fitting_cost > target:
        raise CompressionError(
            f"the target {target:g} cannot be reached: the smallest network costs {fitting_cost:.6g}, the whole one "
            f"{whole_cost:.6g}"
        )
    for _ in range(steps):
        middle = (gentle + severe) / 2
        widths = ladder.widths(middle)
        if widths == fitting:
            severe = middle
        elif (found := cost(widths)) <= target:
            severe, fitting, fitting_cost = middle, widths, found
        else:
            gentle = middle
    return _filled_up(ladder, cost, target, Fit(fitting, fitting_cost), ladder.widths(gentle))


def _filled_up(ladder: WidthLadder, cost: Cost, target: float, fit: Fit, wider: Mapping[str, int]) -> Fit:
    for group in ladder.groups:
        if group.share_of is None and wider[group.name] != fit.widths[group.name]:
            widths = with_shares(ladder.groups, {**fit.widths, group.name: wider[group.name]})
            if (found := cost(widths)) <= target:
                fit = Fit(widths, found)
    return fit
