"""Bundles from anyone: each malformed one is refused in words within ten seconds, and none ends the process.

    python -m tests.soak malformed-bundles --cases 500

A case is a good bundle with one fault in its trees, arrays, tuned encoder, JSON or files, under checksums that are
right. The encoder of some was tuned, in one of all ways. Workers load them, one after the other: a worker that dies or
takes too long is a fault, and another one takes its place. Half of the cases are loaded by `recmem.load`, the others by
`recmem score`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from changed_bundles import sign
from debian_model import trained_model
from recmem.serving.manifest import ENCODER, MANIFEST, RANKER, SELF_TEST, WEIGHTS
from tests.soak import malformed_arrays, malformed_trees
from tests.soak.malformed_encoders import malform_encoder, store_to_load, tuned_bundles

ROOT = Path(__file__).parents[2]
LONGEST_S = 10.0
"""A bundle that takes longer to refuse hangs."""
START_S = 120.0
MAX_MEMORY_BYTES = 3 * 2**30
"""Peak of a worker: torch, LightGBM, the model and the largest file that is read."""
GROUPS = ("trees", "arrays", "encoder", "json", "files")
UNCHANGED = ("trees", "arrays", "encoder")
"""Groups whose faults must not lead to other scores."""
REFUSED, SAME, OTHER = "refused", "the same scores", "another valid model"
_DEEP = 100_000
_WORDS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "[" * _DEEP,
    '{"a":' * _DEEP,
    '"\\ud800"',
    "\ufeff",
    "'x'",
    ",",
]
_WILD: list[Any] = [
    None, "", "x", "NaN", True, False, [], {}, [1], -1, 0, -(2**63), 2**63 - 1, 10**18, 0.5, 1e308, -1e308, "\x1b[2J",
    "\x00", "../../etc/passwd", "/dev/zero", "y" * 20_000, [[]] * 30, {"a": {"b": 1}}, ["a", "a"],
]  # fmt: skip


@dataclass
class Tally:
    """How many cases of each group ended in which way."""

    ends: Counter[tuple[str, str]]
    faults: list[str]
    longest_s: float = 0.0
    peak_bytes: int = 0

    def count(self, end: str, *groups: str) -> int:
        return sum(self.ends[group, end] for group in groups or GROUPS)


def run(cases: int, seed: int, folder: Path, groups: tuple[str, ...] = GROUPS) -> Tally:
    """Loads as many malformed bundles, of the groups in turn."""
    tally = Tally(Counter(), [])
    worker = _Worker()
    try:
        for number in range(cases):
            rng = Random(f"{seed} {number}")
            group = groups[number % len(groups)]
            case = folder / f"case-{number}"
            bundle = _good_bundle(group, rng)
            shutil.copytree(bundle, case)
            what = f"case {number}, {group} of {bundle.name}: {_CHANGES[group](case, rng)}"
            answer = worker.load(case, bundle, by_command=rng.random() < 0.5)
            if "fault" in answer:
                tally.faults.append(f"{what}: {answer['fault']}")
            else:
                tally.ends[group, answer["end"]] += 1
                if group in UNCHANGED and answer["end"] == OTHER:
                    tally.faults.append(f"{what}: loaded, with other scores")
                tally.longest_s = max(tally.longest_s, answer["seconds"])
                tally.peak_bytes = max(tally.peak_bytes, answer["peak_bytes"])
            if "died" in answer:
                worker = _Worker()
            shutil.rmtree(case)
    finally:
        worker.close()
    if tally.peak_bytes > MAX_MEMORY_BYTES:
        tally.faults.append(f"a worker took {tally.peak_bytes:,} bytes")
    return tally


def main(cases: int, seed: int) -> int:
    """Prints the tally; 1 where anything was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        tally = run(cases, seed, Path(folder))
    for group in GROUPS:
        ends = ", ".join(f"{tally.ends[group, end]} {end}" for end in (REFUSED, SAME, OTHER))
        print(f"{group}: {ends}")
    print(f"longest {tally.longest_s:.2f} s, peak {tally.peak_bytes / 2**20:.0f} MiB, {len(tally.faults)} faults")
    print("\n".join(tally.faults[:50]))
    return int(bool(tally.faults))


# Faults


def _good_bundle(group: str, rng: Random) -> Path:
    """The bundle to change: one with a tuned encoder, or the small model's."""
    is_tuned = group == "encoder" or (group in ("json", "files") and rng.random() < 0.4)
    return rng.choice(tuned_bundles()) if is_tuned else trained_model().bundle


def _trees(folder: Path, rng: Random) -> str:
    path = folder / RANKER[0]
    text, what = malformed_trees.malformed(path.read_text(encoding="utf-8"), rng)
    path.write_bytes(text.encode("utf-8", "replace"))
    sign(folder)
    return what


def _arrays(folder: Path, rng: Random) -> str:
    name = rng.choice([WEIGHTS, SELF_TEST])
    content, what = malformed_arrays.malformed((folder / name).read_bytes(), rng)
    (folder / name).write_bytes(content)
    sign(folder)
    return f"{what} in {name}"


def _json(folder: Path, rng: Random) -> str:
    """A value of the configuration or the ranker exchanged for another, or a text that is no JSON."""
    name = rng.choice([MANIFEST, MANIFEST, RANKER[1]])
    path = folder / name
    if rng.random() < 0.3:
        text = path.read_text()
        places = [place for place, character in enumerate(text) if character == ":"]
        place = rng.choice(places) + 1
        end = min(found for mark in ",}\n" if (found := text.find(mark, place)) >= 0)
        changed = text[:place] + rng.choice(_WORDS) + text[end:]
        path.write_bytes(changed.encode("utf-8", "surrogatepass"))
        if name != MANIFEST:
            sign(folder)
        return f"a word in {name}"
    content = json.loads(path.read_text())
    node, key = _place(content["config"] if name == MANIFEST and rng.random() < 0.8 else content, rng)
    said = f"{key} of {name}"
    what = rng.randrange(5)
    if what == 0 and isinstance(node, dict):
        del node[key]
    elif what == 1 and isinstance(node, dict):
        node["unheard_of\x1b"] = 1
    else:
        node[key] = rng.choice(_WILD)
    path.write_text(json.dumps(content))
    sign(folder, files=name != MANIFEST)
    return said


def _place(node: Any, rng: Random) -> tuple[Any, Any]:
    """Somewhere inside: a container and a key of it."""
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.1:
            return node, key
        node = node[key]


def _files(folder: Path, rng: Random) -> str:
    """A file that is a link, a pipe, a device, a folder, missing, empty or too large."""
    name = rng.choice([file.name for file in sorted(folder.iterdir())])
    path = folder / name
    kept = folder.with_name(f"{folder.name}-{name}")
    shutil.move(path, kept)
    what = rng.choice(["pipe", "folder", "missing", "empty", "link", "link inside", "device", "sparse", "binary"])
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    elif what == "link":
        path.symlink_to(kept)
    elif what == "link inside":
        shutil.copy(kept, folder / "other")
        path.symlink_to("other")
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "sparse":
        path.touch()
        os.truncate(path, 2**40)
    elif what == "binary":
        path.write_bytes(rng.randbytes(5000))
    kept.unlink()
    if what in ("empty", "binary") and name != MANIFEST:
        sign(folder)
    return f"{what}: {name}"


_CHANGES: dict[str, Callable[[Path, Random], str]] = {
    "trees": _trees,
    "arrays": _arrays,
    "encoder": malform_encoder,
    "json": _json,
    "files": _files,
}


# Workers


class _Worker:
    """A process that loads bundles, each after the other."""

    def __init__(self) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.soak.malformed_bundles",
            str(store_to_load()),
            *map(str, (trained_model().bundle, *tuned_bundles())),
        ]
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        answer = self._answer(START_S)
        if "fault" in answer:
            raise RuntimeError(f"worker: expected a start, got {answer['fault']}.")

    def load(self, folder: Path, good: Path, *, by_command: bool) -> dict[str, Any]:
        """How the bundle was taken, of which `good` is the original. "fault" says what was wrong, "died" that the
        process is gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(folder), str(good), by_command]).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer(LONGEST_S)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self, at_most_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], at_most_s)
        if not ready:
            self.close()
            return {"fault": f"took more than {at_most_s:.0f} s", "died": True}
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        _, errors = self._process.communicate()
        code = self._process.returncode
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return {"fault": f"ended its process: {ended} {errors[-300:]!r}", "died": True}


def _work(store: Path, bundles: list[Path]) -> None:
    """Answers each folder on stdin with a line; whatever else is printed goes nowhere."""
    import polars as pl
    from typer.testing import CliRunner

    import recmem
    from feature_store import DataError
    from recmem.cli.app import app

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    known = pl.DataFrame({"user_id": ["curl", "vlc"] * 4, "item_id": ["zlib1g-dev"] * 4 + ["libc6-dev"] * 4})
    # A text that no cache holds, so that the encoder is loaded: a small one, as every tuned one here.
    unseen = pl.concat(
        [known, pl.DataFrame({"user_id": ["curl"], "item_id": ["new"], "title": ["tls"]})], how="diagonal"
    )
    place = Path(tempfile.mkdtemp())

    def candidates_for(good: Path) -> pl.DataFrame:
        return unseen if (good / ENCODER).exists() else known

    def scores(folder: Path, good: Path) -> pl.DataFrame:
        model = recmem.load(folder, store=store, device="cpu")
        model.recommend(["curl"], k=3)
        return model.rank(candidates_for(good))

    def by_command(folder: Path, good: Path) -> str:
        out = place / "out.parquet"
        candidates_for(good).write_parquet(place / "in.parquet")
        arguments = ["score", "--model", folder, "--candidates", place / "in.parquet", "--store", store, "--out", out]
        done = CliRunner().invoke(app, list(map(str, arguments)))
        if done.exit_code == 0:
            return SAME if pl.read_parquet(out).equals(expected[good]) else OTHER
        return _judged(done.exit_code == 1, done.stderr)

    def by_function(folder: Path, good: Path) -> str:
        try:
            return SAME if scores(folder, good).equals(expected[good]) else OTHER
        except DataError as error:
            return _judged(True, str(error))
        except Exception as error:
            return f"fault {type(error).__name__}: {str(error)[:300]!r}"

    def _judged(is_refused: bool, words: str) -> str:
        in_form = ": expected " in words and ", got " in words and len(words) < 4000
        plain = "\x1b[2J" not in words and "\x00" not in words and "Unexpected " not in words
        return REFUSED if is_refused and in_form and plain else f"fault not in words: {words[:300]!r}"

    expected = {bundle: scores(bundle, bundle) for bundle in bundles}
    answers.write("{}\n")
    for line in sys.stdin:
        folder, good, is_by_command = json.loads(line)
        begin = resource.getrusage(resource.RUSAGE_SELF)
        end = (by_command if is_by_command else by_function)(Path(folder), Path(good))
        used = resource.getrusage(resource.RUSAGE_SELF)
        answer: dict[str, Any] = {"fault": end[6:]} if end.startswith("fault ") else {"end": end}
        answer["seconds"] = used.ru_utime + used.ru_stime - begin.ru_utime - begin.ru_stime
        answer["peak_bytes"] = used.ru_maxrss * 1024
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _work(Path(sys.argv[1]), list(map(Path, sys.argv[2:])))
