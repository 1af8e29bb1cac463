"""Plots in SVG: bars with the least and the most, and curves."""

import math
from html import escape

WIDTH, LEFT, BAR = 760, 190, 22
OURS, THEIRS, INK = "#c2410c", "#94a3b8", "#1e293b"
COLOURS = ["#0369a1", "#15803d", "#7e22ce", "#525252", "#b45309"]
PARTS = {"p50_us": "median of the latency, us", "p99_us": "99th percentile of the latency, us",
         "p999_us": "99.9th percentile of the latency, us", "cpu_us": "us of CPU"}


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.2f}"


def picture(height, title, parts):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="13">', f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>', *parts, "</svg>", ""])


def bars(scenario, who):
    """One bar for each: its median, with a line from the least to the most."""
    most = max(one["max"] for _, one in who) or 1
    scale = (WIDTH - LEFT - 90) / most
    parts = []
    for i, (name, one) in enumerate(who):
        y = 34 + i * (BAR + 8)
        middle = y + BAR / 2
        colour = OURS if name.startswith("hysock") else THEIRS
        least, end = LEFT + one["min"] * scale, LEFT + one["max"] * scale
        parts += [
            f'<text x="{LEFT - 8}" y="{middle + 5}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{one["median"] * scale:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<path d="M{least:.1f} {middle}H{end:.1f}M{least:.1f} {middle - 5}v10M{end:.1f} {middle - 5}v10" '
            f'stroke="{INK}" stroke-width="2"/>',
            f'<text x="{end + 6:.1f}" y="{middle + 5}">{number(one["median"])}</text>',
        ]
    return picture(40 + len(who) * (BAR + 8), f"{scenario['title']} ({scenario['unit']})", parts)


def ticks(low, high):
    """Powers of ten, and their two- and fivefold, from one to the other."""
    steps = [m * 10.0**e for e in range(-3, 10) for m in (1, 2, 5)]
    return [step for step in steps if low <= step <= high]


def curve(scenario, key):
    """A line for each participant: the median of its rounds over the scenario's number. Both axes grow by factors."""
    lines = {}
    for one in scenario["who"].values():
        name, x = one["point"]
        lines.setdefault(name, []).append((x, one["figures"][key]))
    xs = sorted({x for line in lines.values() for x, _ in line})
    ys = [y for line in lines.values() for _, y in line]
    low, high = min(ys) * 0.8, max(ys) * 1.25
    bottom, top, right = 330, 50, WIDTH - 180

    def share(value, least, most):
        return math.log(value / least) / math.log(most / least)

    def place(x, y):
        return 80 + (right - 80) * share(x, xs[0], xs[-1]), bottom - (bottom - top) * share(y, low, high)

    parts = []
    for y in ticks(low, high):
        at = place(xs[0], y)[1]
        parts += [f'<path d="M80 {at:.1f}H{right}" stroke="#e2e8f0"/>',
                  f'<text x="74" y="{at + 4:.1f}" text-anchor="end">{y:,g}</text>']
    for x in xs:
        parts.append(f'<text x="{place(x, low)[0]:.1f}" y="{bottom + 20}" text-anchor="middle">{x:,}</text>')
    parts += [f'<path d="M80 {top}V{bottom}H{right}" fill="none" stroke="{INK}"/>',
              f'<text x="{right}" y="{bottom + 40}" text-anchor="end">{escape(scenario["axis"])}</text>']
    others = iter(COLOURS * 4)
    for i, (name, line) in enumerate(lines.items()):
        colour = OURS if name.startswith("hysock") else next(others)
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in sorted(line))
        parts += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
                  f'<text x="{right + 15}" y="{top + 10 + 22 * i}" fill="{colour}">{escape(name)}</text>']
    return picture(bottom + 55, f"{scenario['title']}: {PARTS.get(key, key)}", parts)
