"""The bench's results as Markdown; plots.py draws them."""

import plots
from plots import number

# What a table shows beside the figure that is compared: key, heading, divisor.
COLUMNS = [
    ("per_s", "a second", 1), ("cpu_us", "CPU us", 1), ("user_us", "user us", 1), ("system_us", "system us", 1),
    ("cpu_ms", "CPU ms", 1), ("user_ms", "user ms", 1), ("system_ms", "system ms", 1),
    ("p50_us", "p50 us", 1), ("p99_us", "p99 us", 1), ("p999_us", "p99.9 us", 1),
    ("peak_kb", "peak MiB", 1024),
]


def ordered(scenario):
    """The best first; what has points, by line and point."""
    who = scenario["who"].items()
    if scenario["axis"]:
        return sorted(who, key=lambda one: one[1]["point"])
    return sorted(who, key=lambda one: one[1]["median"], reverse=scenario["more_is_better"])


def verdict(bar, unit):
    least = "at least" if bar["at_least"] else "at most"
    met = "met" if bar["met"] else "**missed**"
    if bar["than"]:
        return f"{bar['of']} / {bar['than']}: {bar['value']:.3f}; the bar is {least} {bar['limit']:.2f}: {met}."
    return f"{bar['of']}: {number(bar['value'])} {unit}; the bar is {least} {number(bar['limit'])}: {met}."


def table(scenario):
    who = ordered(scenario)
    ratios = [(key, heading) for key, heading in (
        ("to_reference", f"of {scenario['reference']}"), ("to_best_peer", "of the best peer"), ("to_raw", "of raw"),
    ) if any(key in one for _, one in who)]
    if scenario["reference"] in {one.get("best_peer") for _, one in who} and not scenario["axis"]:
        ratios = [one for one in ratios if one[0] != "to_best_peer"]  # it is the reference
    more = [column for column in COLUMNS
            if column[0] != scenario["figure"] and any(column[0] in one["figures"] for _, one in who)]
    headings = [f"{scenario['unit']}: median", "least", "most", *(heading for _, heading in ratios),
                *(heading for _, heading, _ in more)]
    lines = [f"### {scenario['title']}", "", "| | " + " | ".join(headings) + " |", "|---" * (len(headings) + 1) + "|"]
    for name, one in who:
        cells = [number(one[key]) for key in ("median", "min", "max")]
        cells += [f"{one[key]:.2f}" if key in one else "" for key, _ in ratios]
        cells += [number(one["figures"][key] / by) if key in one["figures"] else "" for key, _, by in more]
        lines.append(f"| {f'**{name}**' if name.startswith('hysock') else name} | " + " | ".join(cells) + " |")
    for bar in scenario["bars"]:
        lines += ["", verdict(bar, scenario["unit"])]
    if scenario["failed"]:
        lines += ["", f"Failed twice in a row: {', '.join(scenario['failed'])}."]
    return lines + [""]


def all_bars(scenarios):
    lines = ["## Bars", "", "| scenario | figure | is | bar | |", "|---|---|---|---|---|"]
    for scenario in scenarios.values():
        for bar in scenario["bars"]:
            what = f"{bar['of']} / {bar['than']}" if bar["than"] else f"{bar['of']}, {scenario['unit']}"
            show = (lambda value: f"{value:.3f}".rstrip("0").rstrip(".")) if bar["than"] else number
            lines.append(f"| {scenario['title']} | {what} | {show(bar['value'])} | "
                         f"{'at least' if bar['at_least'] else 'at most'} {show(bar['limit'])} | "
                         f"{'met' if bar['met'] else '**missed**'} |")
    return lines + ["", "## Scenarios", ""]


def write(whole, folder):
    about = whole["about"]
    instructions = ", ".join(f"{name} {count:,}" for name, count in about["instructions"].items())
    lines = ["# Side by side", "",
             f"hysock {about['hysock']}, {about['time']}, {about['rounds']} rounds in {about['minutes']:.0f} minutes, "
             f"{about['cores']} cores of {about['processor']}, Linux {about['kernel']}. libhysock.so: "
             f"{about['library_bytes']:,} bytes. Instructions a request, as recorded: {instructions}.", "",
             "Compare figures within one table only; docs/performance.md says how they are taken. CPU is that of the "
             "program under test, peak its memory (RSS), \"of\" a ratio of the figures of one round.", ""]
    lines += all_bars(whole["scenarios"])
    for old in folder.glob("*.svg"):
        old.unlink()
    for name, scenario in whole["scenarios"].items():
        lines += table(scenario)
        if scenario["axis"]:
            for key in scenario["curves"]:
                file = f"{name}-{key.removesuffix('_us')}.svg"
                (folder / file).write_text(plots.curve(scenario, key))
                lines += [f"![{key}]({file})", ""]
        else:
            (folder / f"{name}.svg").write_text(plots.bars(scenario, ordered(scenario)))
            lines += [f"![{scenario['title']}]({name}.svg)", ""]
    (folder / "latest.md").write_text("\n".join(lines))
