"""Content counted and hashed at snapshots, kept on the worker's disk: it holds no data."""

import re
from pathlib import Path

from pydantic import ValidationError

from domain.checks import ProofPoint
from domain.recovery import Snapshot
from domain.values import Value


class KeptProof(Value):
    """A proof with the snapshot it was taken beside."""

    snapshot_id: str
    proof: ProofPoint


class Proofs:
    """One folder an instance, one file a proof."""

    def __init__(self, folder: Path, provider: str) -> None:
        self._folder = folder / "proofs" / provider

    def write(self, instance: str, kept: KeptProof) -> None:
        """Keep a proof, whole or not at all."""
        path = self._path(instance, kept.snapshot_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_text(kept.model_dump_json(), encoding="utf-8")
        beside.replace(path)

    def all(self, instance: str) -> list[KeptProof]:
        """Return every readable proof, newest first."""
        found = []
        for path in (self._folder / instance).glob("*.json"):
            try:
                found.append(KeptProof.model_validate_json(path.read_bytes()))
            except (ValidationError, OSError):
                continue  # a proof that cannot be read proves nothing
        return sorted(found, key=lambda kept: kept.proof.taken_at, reverse=True)

    def with_proof(self, instance: str, snapshots: list[Snapshot]) -> list[Snapshot]:
        """Return the snapshots, each told whether content was hashed beside it."""
        proven = {kept.snapshot_id for kept in self.all(instance)}
        return [
            one.model_copy(update={"proven": True}) if one.id in proven else one
            for one in snapshots
        ]

    def _path(self, instance: str, snapshot_id: str) -> Path:
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", snapshot_id)
        return self._folder / instance / f"{safe}.json"
