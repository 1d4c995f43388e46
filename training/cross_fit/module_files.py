"""The modules of a fit as files: weights as safetensors, the rest as JSON. An equal fit later reads them again."""

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
from training.cross_fit.chain import WindowModule

SUMMARY = "modules.json"


@dataclass(frozen=True, eq=False)
class KeptModules:
    """Modules, and how their windows meet."""

    modules: tuple[WindowModule, ...]
    borders: tuple[Border, ...]


def write_modules(folder: Path, key: str, modules: Sequence[WindowModule], borders: Sequence[Border]) -> None:
    """Writes the modules into the folder, in place of older ones. `key`: a digest of all that they depend on."""
    folder.mkdir(parents=True, exist_ok=True)
    # First, so that a writer that is killed leaves no summary of weights that are not there.
    (folder / SUMMARY).unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    for number, each in enumerate(modules):
        (folder / _weights(number)).write_bytes(save(each.module.state_dict()))
    summary = {
        "key": key,
        "modules": [
            {"until": each.until, "scores_until": each.scores_until, "calibration": asdict(each.calibration)}
            for each in modules
        ],
        "borders": [asdict(border) | {"jump": border.jump} for border in borders],
    }
    write_text_atomically(folder / SUMMARY, json.dumps(summary, indent=1) + "\n")


def read_modules(folder: Path, key: str, config: MatchConfig) -> KeptModules | None:
    """What `write_modules` left under the same key; None if there is nothing, or another key's."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        if summary["key"] != key:
            return None
        modules = [
            WindowModule(
                until=each["until"],
                scores_until=each["scores_until"],
                module=MatchModule.from_weights(config, load_file(folder / _weights(number))).eval(),
                calibration=Calibration(**each["calibration"]),
            )
            for number, each in enumerate(summary["modules"])
        ]
        borders = [
            Border(**{name: cell for name, cell in each.items() if name != "jump"}) for each in summary["borders"]
        ]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
    return KeptModules(tuple(modules), tuple(borders))


def _weights(number: int) -> str:
    return f"module_{number}.safetensors"
