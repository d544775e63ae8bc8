"""A report as one self-contained page, rendered from the same document as everything else."""

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from domain.report import RunReport
from domain.values import show_span, show_time

_LEFT, _WIDTH = 150, 840


@dataclass(frozen=True)
class Bar:
    """One phase of the drawn timeline."""

    name: str
    x: float
    width: float
    label_x: float
    anchor: str
    took: str


def _bars(report: RunReport) -> list[Bar]:
    ended = [(record, record.ended_at) for record in report.phases if record.ended_at]
    if not ended:
        return []
    first = ended[0][0].started_at
    whole = max((ended[-1][1] - first).total_seconds(), 0.001)
    bars = []
    for record, end in ended:
        x = _LEFT + _WIDTH * (record.started_at - first).total_seconds() / whole
        width = max(2.0, _WIDTH * (end - record.started_at).total_seconds() / whole)
        right = x + width + 70 < _LEFT + _WIDTH
        bars.append(
            Bar(
                name=record.phase.value,
                x=round(x, 1),
                width=round(width, 1),
                label_x=round(x + width + 6 if right else x - 6, 1),
                anchor="start" if right else "end",
                took=show_span(end - record.started_at),
            )
        )
    return bars


def render(report: RunReport) -> str:
    """Return the page; everything that came from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("cli", "."), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("report.html")
    return template.render(r=report, bars=_bars(report), span=show_span, time=show_time)
