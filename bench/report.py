"""The bench's results as a Markdown table and as bars in SVG."""

from html import escape

WIDTH, LEFT, BAR = 760, 190, 22


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.2f}"


def table(scenario):
    lines = [f"### {scenario['title']}", "",
             f"| | {scenario['unit']}: median | least | most | of {scenario['reference']} |", "|---|---|---|---|---|"]
    who = sorted(scenario["who"].items(), key=lambda one: one[1]["median"], reverse=scenario["more_is_better"])
    for name, one in who:
        shown = f"**{name}**" if name.startswith("hysock") else name
        lines.append(f"| {shown} | {number(one['median'])} | {number(one['min'])} | {number(one['max'])} "
                     f"| {one['ratio']:.2f} |")
    for bar in scenario["bars"]:
        least = "at least" if bar["at_least"] else "at most"
        verdict = "met" if bar["met"] else "**missed**"
        lines.append("")
        lines.append(f"{bar['of']} / {bar['than']}: {bar['ratio']:.3f}; the bar is {least} {bar['bar']:.2f}: {verdict}.")
    return lines + [""]


def bars(scenario):
    """One bar for each: its median, with a line from the least to the most."""
    who = sorted(scenario["who"].items(), key=lambda one: one[1]["median"], reverse=scenario["more_is_better"])
    most = max(one["max"] for _, one in who) or 1
    scale = (WIDTH - LEFT - 90) / most
    height = 40 + len(who) * (BAR + 8)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             f'font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             f'<text x="8" y="20" font-weight="bold">{escape(scenario["title"])} ({escape(scenario["unit"])})</text>']
    for i, (name, one) in enumerate(who):
        y = 34 + i * (BAR + 8)
        middle = y + BAR / 2
        colour = "#c2410c" if name.startswith("hysock") else "#94a3b8"
        parts.append(f'<text x="{LEFT - 8}" y="{middle + 5}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{one["median"] * scale:.1f}" height="{BAR}" fill="{colour}"/>')
        parts.append(f'<line x1="{LEFT + one["min"] * scale:.1f}" x2="{LEFT + one["max"] * scale:.1f}" '
                     f'y1="{middle}" y2="{middle}" stroke="#1e293b" stroke-width="2"/>')
        end = LEFT + max(one["median"], one["max"]) * scale + 6
        parts.append(f'<text x="{end:.1f}" y="{middle + 5}">{number(one["median"])}</text>')
    return "\n".join(parts + ["</svg>", ""])


def curve(points, title, unit):
    """Lines through the medians of several scenarios: `points` is a list of (x, scenario)."""
    height, bottom = 360, 320
    most_x = max(x for x, _ in points)
    most_y = max(one["median"] for _, scenario in points for one in scenario["who"].values())
    place = lambda x, y: f"{60 + (WIDTH - 240) * x / most_x:.1f},{bottom - (bottom - 50) * y / most_y:.1f}"
    colours = ["#c2410c", "#0369a1", "#15803d", "#7e22ce", "#525252", "#b45309"]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             f'font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             f'<text x="8" y="20" font-weight="bold">{escape(title)} ({escape(unit)})</text>',
             f'<path d="M{place(0, most_y)} L{place(0, 0)} L{place(most_x, 0)}" fill="none" stroke="#1e293b"/>',
             f'<text x="56" y="{bottom - (bottom - 50) + 4}" text-anchor="end">{number(most_y)}</text>']
    for x, _ in points:
        at = place(x, 0).split(",")[0]
        parts.append(f'<text x="{at}" y="{bottom + 20}" text-anchor="middle">{x:,}</text>')
    for i, name in enumerate(points[0][1]["who"]):
        line = " ".join(place(x, scenario["who"][name]["median"]) for x, scenario in points)
        colour = colours[i % len(colours)]
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - 165}" y="{70 + 22 * i}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(parts + ["</svg>", ""])


def curves(scenarios, folder):
    """Scenarios that differ in a number alone, as one plot: their names end with it."""
    for family, title in (("rate", "99th percentile of the latency by requests a second"),
                          ("active", "CPU a request by active connections")):
        points = [(int(name.rsplit("-", 1)[1]), one) for name, one in scenarios.items() if name.startswith(family + "-")]
        if len(points) > 1:
            (folder / f"{family}.svg").write_text(curve(points, title, points[0][1]["unit"]))


def write(whole, folder):
    about = whole["about"]
    lines = ["# Side by side", "",
             f"hysock {about['hysock']}, {about['time']}, {about['rounds']} rounds, {about['cores']} cores of "
             f"{about['processor']}, Linux {about['kernel']}. libhysock.so: {about['library_bytes']:,} bytes.", "",
             "Compare figures within one table only; docs/performance.md says how they are taken.", ""]
    for name, scenario in whole["scenarios"].items():
        lines += table(scenario)
        (folder / f"{name}.svg").write_text(bars(scenario))
    curves(whole["scenarios"], folder)
    (folder / "latest.md").write_text("\n".join(lines))
