"""What a scenario is, and what its runs say.

A figure is only ever compared with the figures of the same round, in which the participants take turns.
"""

import statistics
from dataclasses import dataclass, field


@dataclass
class Bar:
    """`of`'s figure is at most (`at_least`: at least) so many times `than`'s, or without `than` so much itself."""

    of: str
    than: str | None
    limit: float
    at_least: bool = False


@dataclass
class Scenario:
    name: str
    title: str
    figure: str  # what is compared: a key of a run's result
    unit: str
    who: dict  # name: how one run goes, a function without arguments that returns a dict
    bars: list = field(default_factory=list)
    reference: str = ""  # ratios are given to this one
    quick: bool = False  # also part of bench-quick
    more_is_better: bool = False
    rounds: int = 0  # at most so many, for what does not vary or takes long
    hidden: tuple = ()  # keys that say nothing here: the latency of three answers of 1 GiB
    # For figures over a number, such as a rate: name: (line, number). The report draws `curves`.
    points: dict = field(default_factory=dict)
    axis: str = ""
    curves: tuple = ()  # keys


def is_hysock(name):
    return name.startswith("hysock")


def is_raw(name):
    return name.startswith("raw")


def ratio(runs, key, name, other):
    """The median of each round's own ratio: the machine is another one in the next."""
    ratios = [a[key] / b[key] for a, b in zip(runs[name], runs[other]) if b[key]]
    return statistics.median(ratios) if ratios else 0


def ratios(scenario, runs, medians, name):
    """A participant's figure to the reference, to the best peer and to the raw limit, of those at its own point."""
    key, at = scenario.figure, lambda one: scenario.points.get(one, ("", 0))[1]
    beside = [one for one in runs if at(one) == at(name)]
    peers = [one for one in beside if not is_hysock(one) and not is_raw(one)]
    raw = [one for one in beside if is_raw(one)]
    best = max if scenario.more_is_better else min
    result = {}
    if scenario.reference in runs:
        result["to_reference"] = ratio(runs, key, name, scenario.reference)
    if peers:
        result["best_peer"] = best(peers, key=lambda one: medians[one])
        result["to_best_peer"] = ratio(runs, key, name, result["best_peer"])
    if raw:
        result["to_raw"] = ratio(runs, key, name, best(raw, key=lambda one: medians[one]))
    return result


def judged(bar, scenario, runs, medians):
    value = ratio(runs, scenario.figure, bar.of, bar.than) if bar.than else medians[bar.of]
    met = value >= bar.limit if bar.at_least else value <= bar.limit
    return {"of": bar.of, "than": bar.than, "limit": bar.limit, "at_least": bar.at_least, "value": value, "met": met}


def summary(scenario, runs):
    """`runs`: of each participant its results, one a round, or None when it did not do its work."""
    key, who = scenario.figure, {}
    failed = [name for name, results in runs.items() if results is None]
    runs = {name: results for name, results in runs.items() if results is not None}
    medians = {name: statistics.median(result[key] for result in results) for name, results in runs.items()}
    for name, results in runs.items():
        values = [result[key] for result in results]
        figures = {one: statistics.median(result[one] for result in results)
                   for one in results[0] if one not in scenario.hidden}
        who[name] = {"median": medians[name], "min": min(values), "max": max(values), "figures": figures,
                     "point": scenario.points.get(name)} | ratios(scenario, runs, medians, name) | {"runs": results}
    return {"title": scenario.title, "figure": key, "unit": scenario.unit, "reference": scenario.reference,
            "more_is_better": scenario.more_is_better, "axis": scenario.axis, "curves": scenario.curves, "who": who,
            "failed": failed,
            "bars": [judged(bar, scenario, runs, medians) for bar in scenario.bars if bar.than not in failed]}
