"""A report as one self-contained page, rendered from the same document as everything else."""

from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from domain.report import RunReport
from domain.values import show_span, show_time

_LEFT, _WIDTH, _LABEL = 150, 840, 70


@dataclass(frozen=True)
class Bar:
    """One phase of the drawn timeline."""

    name: str
    x: float
    width: float
    label_x: float
    anchor: str
    took: str


@dataclass(frozen=True)
class Mark:
    """One moment of the drawn timeline: the impact, or the end of the time allowed."""

    name: str
    x: float
    anchor: str


@dataclass(frozen=True)
class Timeline:
    """The phases of a run between the impact and its end, with the objective where it falls in."""

    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]


def _timeline(report: RunReport) -> Timeline:
    ended = [(record, record.ended_at) for record in report.phases if record.ended_at]
    if not ended:
        return Timeline((), ())
    impact = report.started_counting_at or ended[0][0].started_at
    begin = min(impact, ended[0][0].started_at)
    whole = max((ended[-1][1] - begin).total_seconds(), 0.001)

    def x_of(moment: datetime) -> float:
        return round(_LEFT + _WIDTH * (moment - begin).total_seconds() / whole, 1)

    bars = []
    for record, end in ended:
        x, right = x_of(record.started_at), x_of(end)
        width = max(2.0, round(right - x, 1))
        fits = x + width + _LABEL < _LEFT + _WIDTH
        bars.append(
            Bar(
                name=record.phase.value,
                x=x,
                width=width,
                label_x=round(x + width + 6 if fits else x - 6, 1),
                anchor="start" if fits else "end",
                took=show_span(end - record.started_at),
            )
        )
    marks = [Mark("clock starts", x_of(impact), "start")]
    for objective in report.objectives:
        due = impact + objective.limit
        if objective.name == "rto" and due <= ended[-1][1]:
            marks.append(Mark("objective", x_of(due), "end"))
    return Timeline(tuple(bars), tuple(marks))


def render(report: RunReport) -> str:
    """Return the page; everything that came from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("cli", "."), autoescape=True, undefined=StrictUndefined
    )
    template = environment.get_template("report.html")
    estimates = {one.phase: one for one in report.estimates}
    return template.render(
        r=report, line=_timeline(report), estimates=estimates, span=show_span, time=show_time
    )
