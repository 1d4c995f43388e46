"""Kills a tuning of the text encoder at random instants until it is done, and compares the weights with an uncut one's.

    python -m tests.soak tuning --rounds 10

Each round tunes in another way, with another seed, in processes of their own that are ended by SIGKILL.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[2]
KINDS = ("last", "full", "lora", "adalora", "ia3", "prefix")
KILLS = 3
"""Kills of a tuning before it is left to end."""
DONE = "done.safetensors"


def tune(folder: Path, kind: str, seed: int) -> None:
    """One tuning with the tiny encoder, whose outcome is kept whatever it is worth; run in a process of its own."""
    from dataclasses import replace

    from recmem.text.encoder_tuning import EncoderTuning
    from tests import small_tuning
    from tests.tiny_encoder import tiny_encoder
    from training.evaluation.encoder_choice import EncoderChoice, HeldOutPart
    from training.fitting.tuning_progress import TuningProgress
    from training.progress import Silent
    from training.steps.encoder_tuner import EncoderTuner

    kept = EncoderChoice(True, "told to", 1, 0)
    HeldOutPart.choose = lambda *_: kept  # type: ignore[method-assign]
    config = replace(small_tuning.small_config(kind, max_steps=120), seed=seed)
    config = replace(config, match=replace(config.match, min_steps=120, max_steps=120))
    tuning = EncoderTuning(kind, layers=1, rank=2)  # type: ignore[arg-type]
    progress = TuningProgress(folder / "progress", f"{kind}-{seed}")
    data = small_tuning.small_data(config)
    (folder / "began").touch()
    _, tensors = EncoderTuner(data, config, tiny_encoder(), tuning, progress, Silent()).run()
    flat = {f"{name}.{key}": tensor for name, part in tensors.items() for key, tensor in part.items()}
    save_file(flat, folder / f".{DONE}")
    os.replace(folder / f".{DONE}", folder / DONE)


def run(rounds: int, seed: int, folder: Path) -> tuple[int, list[str]]:
    """Kills that came before the end of the work, and the faults: there must be none of these."""
    generator = random.Random(seed)
    hit = 0
    faults = []
    for number in range(rounds):
        kind = KINDS[(number + seed) % len(KINDS)]
        whole = folder / f"{number}-whole"
        work_s = _work(whole, kind, number, None)[1]
        cut = folder / f"{number}-cut"
        for _ in range(KILLS):
            hit += _work(cut, kind, number, generator.uniform(0.05, 0.5) * work_s)[0]
        _work(cut, kind, number, None)
        expected, got = (load_file(place / DONE) for place in (whole, cut))
        if {name: tensor.numpy().tobytes() for name, tensor in expected.items()} != {
            name: tensor.numpy().tobytes() for name, tensor in got.items()
        }:
            faults.append(f"{kind}, seed {number}: other weights")
    return hit, faults


def _work(folder: Path, kind: str, seed: int, kill_after_s: float | None) -> tuple[bool, float]:
    """Whether the process was killed before it was done, and the seconds that it worked."""
    folder.mkdir(exist_ok=True)
    (folder / "began").unlink(missing_ok=True)
    if (folder / DONE).exists():
        return False, 0.0
    command = [sys.executable, "-m", "tests.soak.tuning", str(folder), kind, str(seed)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
        while not (folder / "began").exists() and process.poll() is None:
            time.sleep(0.01)
        begin = time.monotonic()
        try:
            _, errors = process.communicate(timeout=kill_after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True, time.monotonic() - begin
        if process.returncode:
            raise RuntimeError(errors.decode()[-2000:])
    return False, time.monotonic() - begin


def main(rounds: int, seed: int) -> int:
    """Prints what was found; 0 if nothing is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        hit, faults = run(rounds, seed, Path(folder))
    n_kills = rounds * KILLS
    print(f"{rounds} tunings, {n_kills} kills, {hit} of them before the end; {len(faults)} ended at other weights")
    for fault in faults:
        print(fault)
    return int(bool(faults))


if __name__ == "__main__":
    tune(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
