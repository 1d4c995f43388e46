"""Small files made in the form of public data sets; nothing in them is taken from these."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

BOM = b"\xef\xbb\xbf"


def write_lines(
    path: Path, lines: Sequence[str], *, encoding: str = "utf-8", end: str = "\n", mark: bool = False
) -> Path:
    """The lines as a file; compressed if its name ends in .gz, with a byte order mark if `mark`."""
    data = (BOM if mark else b"") + "".join(f"{line}{end}" for line in lines).encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_records(path: Path, records: Sequence[Mapping[str, object]]) -> Path:
    """The records as lines of JSON."""
    return write_lines(path, [json.dumps(record, ensure_ascii=False) for record in records])


def truncate(path: Path) -> Path:
    """Cuts off the file's second half."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


NEWS = [
    'N1\tsports\tsoccer\tKeeper says "no comment\tThe keeper of a made-up club said nothing.\thttps://example/1\t[]\t[]',
    'N2\tfood\trecipes\t"Soup", and more soup\t\thttps://example/2\t[]\t[]',
    'N3\tweather\tstorms\tRain in Örebro, "again"\tIt rained.\thttps://example/3\t[{"Label": "Örebro"}]\t[]',
    "N4\tsports\ttennis\tA match of five sets\tIt was long.\thttps://example/4\t[]\t[]",
    "N5\tfood\tbread\tBread without kneading\tJust wait.\thttps://example/5\t[]\t[]",
]
"""News of MIND's form: quotes that quote nothing, an empty abstract, letters beyond ASCII."""
BEHAVIORS = [
    "1\tU7\t11/11/2019 9:05:58 AM\tN1 N3 N2\tN4-1 N5-0",
    "2\tU8\t11/11/2019 12:30:00 AM\t\tN4-0 N5-1 N1-1",
    "3\tU7\t11/11/2019 1:00:00 PM\tN1 N3 N2\tN5-0 N3-1",
]
"""Impressions with labels: a history that both rows of a user repeat, one that is empty, two clicks in one list."""
UNLABELLED = ["1\tU7\t11/16/2019 8:00:00 AM\tN1 N3 N2 N4\tN5 N2 N4", "2\tU9\t11/16/2019 8:00:01 AM\tN2\tN1 N3"]
"""Impressions of the test split."""


def write_mind(folder: Path, *, news: Sequence[str] = NEWS, behaviors: Sequence[str] = BEHAVIORS) -> tuple[Path, Path]:
    """`news.tsv` and `behaviors.tsv` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_lines(folder / "news.tsv", news), write_lines(folder / "behaviors.tsv", behaviors)
