#!/usr/bin/env python3
# scripts/bench.d/chart.py REPORT CHART: the report of scripts/bench-table as bars, an SVG that is readable on
# light and dark backgrounds.
import json, sys
from html import escape

sys.dont_write_bytecode = True
import goals

WIDTH, LABELS, FIGURES, BAR, GAP = 760, 235, 90, 20, 8
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 15px }
.note { fill: #59636e; font-size: 12px } .bar { fill: #b6bec9 } .bar.ours { fill: #1a7f64 }
.rest { fill: #d5dae1 } .rest.ours { fill: #7cc4b0 } .ours { font-weight: 600 } .axis { stroke: #8c959f }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note { fill: #9198a1 } .bar { fill: #59636e } .bar.ours { fill: #3fb68e }
.rest { fill: #3d444d } .rest.ours { fill: #226b55 } .axis { stroke: #656c76 } }
"""


class Chart:
    """Elements from top to bottom."""

    def __init__(self):
        self.elements, self.y = [], 8

    def text(self, x, words, style, anchor="start", height=0):
        self.elements.append(f'<text x="{x:.1f}" y="{self.y + 15}" class="{style}" text-anchor="{anchor}">'
                             f"{escape(words)}</text>")
        self.y += height

    def bar(self, who, parts, longest, unit):
        """One bar of one or two parts, with its figure behind it."""
        ours = " ours" if who == "ours" else ""
        label = "dosp" if ours else goals.name("", who)
        self.text(LABELS - 8, label, ours.strip(), "end")
        x, scale = LABELS, (WIDTH - LABELS - FIGURES) / (longest or 1)
        for part, style in zip(parts, ("bar", "rest")):
            self.elements.append(f'<rect x="{x:.1f}" y="{self.y}" width="{max(part * scale, 1):.1f}" '
                                 f'height="{BAR}" rx="2" class="{style}{ours}"/>')
            x += part * scale
        self.text(x + 6, f"{sum(parts):.3g} {unit}", ours.strip())
        self.y += BAR + GAP

    def panel(self, title, note, bars, unit, best=max):
        """Bars under a title, the best first; nothing where nothing was measured."""
        if not bars:
            return
        self.y += 14
        self.text(8, title, "title", height=20)
        self.text(8, note, "note", height=26)
        top = self.y
        longest = max(sum(parts) for parts in bars.values())
        for who, parts in sorted(bars.items(), key=lambda bar: sum(bar[1]), reverse=best is max):
            self.bar(who, parts, longest, unit)
        self.elements.append(f'<line x1="{LABELS}" x2="{LABELS}" y1="{top - 4}" y2="{self.y - 4}" '
                             'class="axis"/>')

    def svg(self):
        body = "\n".join(self.elements)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.y + 12}" width="{WIDTH}" '
                f'height="{self.y + 12}" role="img">\n<style>{STYLE}</style>\n{body}\n</svg>\n')


def medians(report, what):
    return {who: of["median"] for who, of in report["measured"].get(what, {}).items()}


def draw(report):
    chart = Chart()
    streams = medians(report, "stream")
    # Without an overlay the kernel carries it all: it would make every other bar a stub.
    streams.pop("plain", None)
    chart.panel("One TCP stream through the hub", "Gbit/s, longer is better",
                {who: [figure] for who, figure in streams.items()}, "Gbit/s")
    hub, work = medians(report, "work-hub"), medians(report, "work-all")
    chart.panel("Work for a gigabyte", "CPU seconds, shorter is better; the first part at the hub, the second at the hosts",
                {who: [hub[who], max(work[who] - hub[who], 0)] for who in hub if who != "plain"}, "s", min)
    for side, words in (("a", "the sender's"), ("b", "the receiver's")):
        chart.panel(f"Ping while 4 streams fill {words} 100 Mbit/s", "ms, shorter is better",
                    {who: [figure] for who, figure in medians(report, f"full-ping/{side}").items()}, "ms", min)
    chart.y += 10
    chart.text(8, report["machine"], "note", height=20)
    return chart.svg()


with open(sys.argv[1]) as report, open(sys.argv[2], "w") as out:
    out.write(draw(json.load(report)))
print(sys.argv[2])
