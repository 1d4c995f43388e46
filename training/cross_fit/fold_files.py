"""The folds of a fit as files: weights as safetensors, the rest as JSON. An equal fit later reads them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from feature_store.atomic_files import write_text_atomically
from recmem.matching.calibration import Calibration
from recmem.matching.match_module import MatchConfig, MatchModule
from training.cross_fit.borders import Border
from training.cross_fit.chain import Fold

SUMMARY = "folds.json"


@dataclass(frozen=True, eq=False)
class KeptFolds:
    """Folds, and how they meet."""

    folds: tuple[Fold, ...]
    borders: tuple[Border, ...]


def write_folds(folder: Path, key: str, folds: Sequence[Fold], borders: Sequence[Border]) -> None:
    """Writes the folds into the folder, in place of older ones. `key`: a digest of all that they depend on."""
    folder.mkdir(parents=True, exist_ok=True)
    # First, so that a writer that is killed leaves no summary of weights that are not there.
    (folder / SUMMARY).unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    for number, fold in enumerate(folds):
        (folder / _weights(number)).write_bytes(save(fold.module.state_dict()))
    summary = {
        "key": key,
        "folds": [
            {"until": fold.until, "scores_until": fold.scores_until, "calibration": asdict(fold.calibration)}
            for fold in folds
        ],
        "borders": [asdict(border) | {"jump": border.jump} for border in borders],
    }
    write_text_atomically(folder / SUMMARY, json.dumps(summary, indent=1) + "\n")


def read_folds(folder: Path, key: str, config: MatchConfig) -> KeptFolds | None:
    """What `write_folds` left under the same key; None if there is nothing, or another key's."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        if summary["key"] != key:
            return None
        folds = [
            Fold(
                until=fold["until"],
                scores_until=fold["scores_until"],
                module=MatchModule.from_weights(config, load_file(folder / _weights(number))).eval(),
                calibration=Calibration(**fold["calibration"]),
            )
            for number, fold in enumerate(summary["folds"])
        ]
        borders = [
            Border(**{name: cell for name, cell in each.items() if name != "jump"}) for each in summary["borders"]
        ]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
    return KeptFolds(tuple(folds), tuple(borders))


def _weights(number: int) -> str:
    return f"fold_{number}.safetensors"
