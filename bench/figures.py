"""Medians, ratios and verdicts of the rounds, as a table and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.contenders import Measure, Round
from domain.values import show_bytes
from providers.local.records import BackupRecord

ENOUGH_ROUNDS = 5
_ADDED_SECONDS, _ADDED_SHARE = 2.0, 0.05
_FACTORS = {50: 2.0, 200: 1.5}

_ROWS = (
    (Measure.PLAIN, "plain copy (cp -a + sync)"),
    (Measure.BACKUP, "backup, encrypted (+ sync)"),
    (Measure.ENGINE, "engine by hand (+ sync)"),
    (Measure.ENGINE_WRITES, "  until it accepts writes"),
    (Measure.REFLOAT_WRITES, "Refloat until it accepts writes"),
    (Measure.PREFLIGHT, "  pre-flight"),
    (Measure.SAFETY, "  safety snapshot"),
    (Measure.RESTORE, "  restore"),
    (Measure.VERIFY, "  verify (not counted above)"),
    (Measure.REFLOAT, "Refloat with verify and report"),
    (Measure.PLAIN_THERE, "plain copy beside the clone"),
    (Measure.CLONE, "clone (reflink, in backup mode)"),
    (Measure.CLONE_WRITES, "clone until it accepts writes"),
)
_BESIDE_CLONE = {Measure.PLAIN_THERE, Measure.CLONE, Measure.CLONE_WRITES}


@dataclass(frozen=True)
class Target:
    """One promise, what was measured against it, and whether it was kept."""

    name: str
    measured: float
    limit: float
    unit: str
    met: bool


@dataclass(frozen=True)
class Figures:
    """The rounds of one scale."""

    scale: int
    copied_bytes: int
    backup: BackupRecord
    log_bytes: int
    rounds: Sequence[Round]
    clone_note: str = ""

    def values(self, measure: Measure) -> list[float]:
        """Return a measure of every round."""
        return [one[measure] for one in self.rounds]

    def ratio(self, measure: Measure) -> float:
        """Return the median of the ratios to the plain copy of the same round."""
        beside = measure in _BESIDE_CLONE and Measure.PLAIN_THERE in self.rounds[0]
        limit = Measure.PLAIN_THERE if beside else Measure.PLAIN
        return median(one[measure] / one[limit] for one in self.rounds)

    @property
    def added(self) -> list[float]:
        """What Refloat adds to the engine by hand, round by round, both until they accept writes."""
        return [one[Measure.REFLOAT_WRITES] - one[Measure.ENGINE_WRITES] for one in self.rounds]

    def targets(self) -> list[Target]:
        """Return the promises of this scale."""
        limit = _ADDED_SECONDS + _ADDED_SHARE * median(self.values(Measure.ENGINE_WRITES))
        added = median(self.added)
        found = [Target("Refloat adds to the engine by hand", added, limit, "s", added <= limit)]
        factor = _FACTORS.get(self.scale)
        for name, measure in (("backup", Measure.BACKUP), ("engine by hand", Measure.ENGINE)):
            if factor is not None:
                ratio = self.ratio(measure)
                met = ratio <= factor
                found.append(Target(f"{name} against a plain copy", ratio, factor, "x", met))
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the raw rounds with what was made of them."""
        return {
            "scale": self.scale,
            "copied_bytes": self.copied_bytes,
            "backup_bytes": self.backup.plain_bytes,
            "stored_bytes": self.backup.stored_bytes,
            "log_bytes": self.log_bytes,
            "rounds": [dict(one) for one in self.rounds],
            "refloat_adds": self.added,
            "targets": [asdict(target) for target in self.targets()],
            "clone_note": self.clone_note,
        }


def table(figures: Figures) -> Iterator[str]:
    """Yield the lines to print."""
    backup = figures.backup
    yield (
        f"scale {figures.scale}, {len(figures.rounds)} rounds: {show_bytes(figures.copied_bytes)} in "
        f"the plain copy, {show_bytes(backup.plain_bytes)} in the backup, stored as "
        f"{show_bytes(backup.stored_bytes)}, {show_bytes(figures.log_bytes)} of log to stage"
    )
    yield f"  {'':<34}{'median':>9}{'min .. max':>20}{'x plain copy':>15}"
    for measure, label in _ROWS:
        if measure in figures.rounds[0]:
            ratio = "" if label.startswith(" ") else f"{figures.ratio(measure):.2f}"
            yield _row(label, figures.values(measure)) + f"{ratio:>15}".rstrip()
    yield _row("Refloat adds", figures.added)
    if figures.clone_note:
        yield f"  {figures.clone_note}"
    yield ""
    for target in figures.targets():
        verdict = "PASS" if target.met else "MISS"
        measured, limit = (
            f"{target.measured:.2f} {target.unit}",
            f"{target.limit:.2f} {target.unit}",
        )
        yield f"  {verdict}  {target.name}: {measured}, at most {limit}"
    if figures.scale not in _FACTORS:
        yield "  no factor is promised at this scale, only at 50 and 200"
    if len(figures.rounds) < ENOUGH_ROUNDS:
        yield f"  fewer than {ENOUGH_ROUNDS} rounds: an impression, no verdict"


def _row(label: str, values: Sequence[float]) -> str:
    span = f"{min(values):.2f} .. {max(values):.2f}"
    return f"  {label:<34}{median(values):>7.2f} s{span:>20}"
