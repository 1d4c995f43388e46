"""A log of thirty projects and their libraries, small enough to train on within a test, whose right answer is known.

Every project stays with one of three themes, so the texts of its libraries predict its next one. From the fourth date
on, each theme gets a new library at each date, and most projects take it: only its text tells whose theme it is, so the
ranker with text features is clearly better and ships.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

THEMES = {
    "network": [
        ("libcurl4-openssl-dev", "development files for libcurl, a client-side URL transfer library over HTTP and TLS"),
        ("libnghttp2-dev", "library implementing the HTTP/2 protocol, development files"),
        ("libssh2-1-dev", "SSH2 client-side library for secure network transfer, development headers"),
        ("libssl-dev", "Secure Sockets Layer toolkit for encrypted network connections, development files"),
        ("librtmp-dev", "toolkit for RTMP network streams, development files"),
        ("libldap-dev", "OpenLDAP network directory client libraries, development files"),
        ("libidn2-dev", "internationalized domain names for network hosts, development files"),
    ],
    "drawing": [
        ("libgtk-3-dev", "development files for the GTK graphical user interface library"),
        ("libcairo2-dev", "development files for the Cairo 2D vector graphics library"),
        ("libpango1.0-dev", "layout and rendering of text in graphics, development files"),
        ("librsvg2-dev", "SAX-based renderer library for SVG vector graphics, development files"),
        ("libpng-dev", "PNG image graphics library, development files"),
        ("libpoppler-dev", "PDF page rendering and graphics library, development files"),
        ("libgdk-pixbuf-2.0-dev", "GDK image loading library for graphics, development files"),
    ],
    "sound": [
        ("libasound2-dev", "shared library for ALSA sound applications, development files"),
        ("libvorbis-dev", "development files for the Vorbis general audio compression codec"),
        ("libflac-dev", "free lossless audio codec, development files"),
        ("libmp3lame-dev", "MP3 audio encoding library, development files"),
        ("libopus-dev", "Opus audio codec library for sound, development files"),
        ("libpulse-dev", "PulseAudio sound server client development headers"),
        ("libsndfile1-dev", "library for reading and writing audio sound files, development files"),
    ],
}
"""Of each theme, the libraries that are there from the first date on, then one for each later date."""
N_USERS_PER_THEME = 10
N_DATES = 6
N_FIRST = 4
"""Libraries of a theme that are there from the first date on."""
NEW_FROM = 3
"""The date, from 0, at which the first new library comes out."""
SHARE_OF_NEW = 0.8
"""How often a project takes the newest library that it can, and not one of the first."""
NAMED = {0: "curl", 1: "inkscape", 2: "vlc"}
"""The first project of each theme has a name."""


def items() -> pl.DataFrame:
    """Twenty-one libraries with texts."""
    rows = [(item, text, theme) for theme, texts in THEMES.items() for item, text in texts]
    return pl.DataFrame(rows, schema=["item_id", "title", "section"], orient="row")


def events() -> pl.DataFrame:
    """At every date, each project adds another library of its theme; one is left over."""
    random = np.random.default_rng(0)
    rows = []
    for theme, texts in enumerate(THEMES.values()):
        for number in range(N_USERS_PER_THEME):
            # Themes take turns, so that every part of the projects has some of each.
            row = number * len(THEMES) + theme
            user = NAMED.get(row, f"project-{row}")
            chosen = _libraries(random, [item for item, _ in texts])
            rows += [(user, item, date) for date, item in enumerate(chosen)]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.DataFrame(rows, schema=["user_id", "item_id", "date"], orient="row").select(
        "user_id", "item_id", timestamp=pl.lit(start) + pl.col("date") * timedelta(days=30), event=pl.lit("depends")
    )


def _libraries(random: np.random.Generator, of_theme: list[str]) -> list[str]:
    """The library that a project adds at each date."""
    first = random.permutation(of_theme[:N_FIRST]).tolist()
    new: list[str] = []
    chosen = []
    for date in range(N_DATES):
        if date >= NEW_FROM:
            new.append(of_theme[N_FIRST + date - NEW_FROM])
        takes_new = new and (random.random() < SHARE_OF_NEW or not first)
        chosen.append(new.pop() if takes_new else first.pop())
    return chosen


def write_tables(folder: Path) -> tuple[Path, Path]:
    """`items.parquet` and `events.parquet` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    items_path = folder / "items.parquet"
    events_path = folder / "events.parquet"
    items().write_parquet(items_path)
    events().write_parquet(events_path)
    return items_path, events_path


@functools.cache
def trained() -> Path:
    """A folder with the outputs of `recmem train`, made once per process: tests must not change it."""
    from typer.testing import CliRunner

    from recmem.cli.app import app

    folder = Path(tempfile.mkdtemp(prefix="recmem-small-training-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    items_path, events_path = write_tables(folder / "tables")
    arguments = ["train", "--items", items_path, "--events", events_path, "--out", folder / "run"]
    result = CliRunner().invoke(app, ["--debug", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (folder / "train.txt").write_text(result.output)
    return folder
