"""Mutated inputs: each is taken as documented, or refused in the one form; none ends the process, no row is lost.

    python -m tests.soak fuzz --cases 10000

Files (Parquet, CSV, JSON lines, Arrow) with bytes and words exchanged, frames of any dtypes, candidates, bundles with
changed files or a changed configuration under right checksums, and stores with changed files. The cases run in forked
processes, some at a time, so that one that takes its process down is found and named by its number.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from debian_model import trained_model
from feature_store import EVENTS, IMPRESSIONS, ITEMS, REJECTED, Store
from feature_store.file_digest import file_digest
from feature_store.files.file_rows import FileRows
from feature_store.files.table_files import read_table
from feature_store.resubmission import resubmit
from recmem.serving.manifest import FILES, MANIFEST, checksum
from recmem.serving.model import Model

AT_ONCE = 100
"""Cases of one process, and of one store."""
LONGEST_S = 300
"""A process that takes longer hangs."""
WORDS = ["null", "NaN", "1e999", "-0", "99999999999999999999", '"\\ud800"', "[]", "{}", "true", '""',
         '"\\u0000"', "\ufeff", "\x00", "'", ",", "\n", "💥", "1970-01-01", "-1", "Infinity"]  # fmt: skip
VALUES: list[Any] = [None, "", " ", "u1", "i1", "💥", "x" * 20_000, "\x00", 0, -1, 2**31, 2**63 - 1, -(2**63), 1.5,
                     1e308, float("nan"), float("inf"), True, "2020-01-01", "2020-13-45", "NaN", "null"]  # fmt: skip
DTYPES: list[Any] = [
    pl.String, pl.Int8, pl.Int64, pl.UInt64, pl.Float32, pl.Float64, pl.Boolean, pl.Null, pl.Binary, pl.Date, pl.Time,
    pl.Datetime("ns"), pl.Datetime("ms", "Asia/Tokyo"), pl.Duration("us"), pl.Decimal(38, 4), pl.Categorical,
    pl.Enum(["u1", "i1", "click"]), pl.List(pl.String), pl.List(pl.Int64), pl.Array(pl.Float64, 2),
    pl.Struct({"a": pl.Int64}), pl.Object, pl.Int128,
]  # fmt: skip
NAMES = {
    "items": ["item_id", "title", "description", "price", "available_from"],
    "events": ["user_id", "item_id", "timestamp", "event", "value", "session_id", "available_at", "event_id"],
    "impressions": ["impression_id", "user_id", "timestamp", "item_id", "label", "position"],
    "candidates": ["user_id", "item_id", "timestamp", "impression_id", "history", "description"],
}
TABLES = ("items", "events", "impressions")


def run(cases: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """How many cases ended in which way, and the faults."""
    training_data = trained_model()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.soak.fuzz"])
    ends, faults = Counter[str](), []
    for begin in range(0, cases, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, cases))
        place = folder / f"cases-{begin}"
        place.mkdir()
        process = context.Process(target=_some, args=(numbers, seed, place, training_data.bundle, training_data.store))
        process.start()
        process.join(LONGEST_S)
        if process.is_alive():
            process.kill()
            process.join()
        output = [line.split("\t", 2) for line in (place / "output").read_text().splitlines()]
        if process.exitcode != 0:
            faults.append(f"case {output[-1][0]} ended its process: {process.exitcode}")
        for number, end, *words in output:
            ends[end.partition(" ")[0]] += end != "begins"
            if end == "fault":
                faults.append(f"case {number}: {words[0]}")
        shutil.rmtree(place)
    return ends, faults


def main(cases: int, seed: int) -> int:
    """Prints the tally; 1 where anything was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        ends, faults = run(cases, seed, Path(folder))
    print(f"{cases} cases: {ends['taken']} taken, {ends['refused']} refused, {len(faults)} faults")
    print("\n".join(faults[:50]))
    return int(bool(faults))


def _some(numbers: range, seed: int, place: Path, bundle: Path, tables: Path) -> None:
    store = Store.create(place / "store")
    model = Model.load(bundle, store=tables, device="cpu")
    kinds: list[Callable[[random.Random], str]] = [
        lambda rng: _file(rng, store, place),
        lambda rng: _file(rng, store, place),
        lambda rng: _frame(rng, store),
        lambda rng: _frame(rng, store),
        lambda rng: _candidates(rng, model),
        lambda rng: _bundle(rng, place, bundle, tables),
        lambda rng: _tampered(rng, place, tables),
    ]
    with (place / "output").open("w", buffering=1) as output, redirect_stderr(io.StringIO()):
        for number in numbers:
            output.write(f"{number}\tbegins\n")
            rng = random.Random(f"{seed} {number}")
            kind = rng.randrange(len(kinds))
            try:
                end = kinds[kind](rng)
            except ValueError as error:
                end = "refused" if _in_form(str(error)) else f"fault\t{kind} not in form: {_line(error)}"
            except Exception as error:
                end = f"fault\t{kind} {type(error).__name__}: {_line(error)}"
            except BaseException as error:  # a panic of polars or Delta
                end = f"fault\t{kind} {type(error).__name__}: {_line(error)}"
            output.write(f"{number}\t{end}\n")


def _in_form(text: str) -> bool:
    """DataError, and ValueError of a wrong setting, which the command line prints as it is."""
    return all(": expected " in line and ", got " in line for line in text.splitlines() if not line.startswith(" "))


def _line(error: BaseException) -> str:
    return ascii(str(error))[:300]


# What is mutated


def _file(rng: random.Random, store: Store, place: Path) -> str:
    """A table in a file whose bytes were changed."""
    table, suffix = rng.choice(TABLES), rng.choice([".parquet", ".csv", ".jsonl", ".arrow"])
    frame, path = _plain(table, rng), place / f"table{suffix}"
    writers = {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".jsonl": frame.write_ndjson,
               ".arrow": frame.write_ipc}  # fmt: skip
    writers[suffix](path)
    data = path.read_bytes()
    path.write_bytes(_words(rng, data) if suffix in (".csv", ".jsonl") and rng.random() < 0.6 else _bytes(rng, data))
    return _append(rng, store, table, read_table(str(path), table=table))


def _frame(rng: random.Random, store: Store) -> str:
    """A frame of columns with any dtypes."""
    table = rng.choice(TABLES)
    return _append(rng, store, table, _any_frame(rng, table))


def _candidates(rng: random.Random, model: Model) -> str:
    """Candidates of any dtypes: the same rows come back."""
    frame = _any_frame(rng, "candidates")
    ranked = model.rank(frame) if rng.random() < 0.5 else model.match(frame)
    if ranked.columns[: frame.width] != frame.columns or ranked.height != frame.height:
        return f"fault\trows or columns of candidates are gone: {frame.schema}"
    return "taken"


def _bundle(rng: random.Random, place: Path, bundle: Path, tables: Path) -> str:
    """A bundle with a changed file; or with a changed configuration, and checksums that are right."""
    folder = place / "bundle"
    shutil.copytree(bundle, folder, dirs_exist_ok=True)
    manifest = folder / MANIFEST
    if rng.random() < 0.5:
        path = folder / rng.choice([*FILES, MANIFEST])
        before = path.read_bytes()
        path.write_bytes(_bytes(rng, before))
        changed = path.read_bytes() != before
        Model.load(folder, store=tables, device="cpu")
        return "fault\ta changed bundle was loaded" if changed and path.name != MANIFEST else "taken"
    content = json.loads(manifest.read_text())
    if rng.random() < 0.3:
        path = folder / "ranker.json"
        ranker = json.loads(path.read_text())
        _json(rng, ranker)
        path.write_text(json.dumps(ranker))
        content["sha256"]["ranker.json"] = file_digest(path)
    else:
        _json(rng, content["config"])
    content["checksum"] = checksum(content)
    manifest.write_text(json.dumps(content))
    model = Model.load(folder, store=tables, device="cpu")
    frame = pl.DataFrame({"user_id": ["curl", "vlc"], "item_id": ["zlib1g-dev", "zlib1g-dev"]})
    model.rank(frame)
    model.recommend(["curl"], k=2)
    return "taken"


def _tampered(rng: random.Random, place: Path, tables: Path) -> str:
    """A store whose files were changed, cut short or removed."""
    folder = place / "tampered"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tables, folder, ignore=shutil.ignore_patterns("vectors"))
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    if rng.random() < 0.15:
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(_words(rng, data) if path.suffix == ".json" and rng.random() < 0.5 else _bytes(rng, data))
    store = Store.open(folder)
    for rows in (store.items(), store.events(), store.impressions(), store.rejected()):
        rows.height  # noqa: B018 - reading is the point
    store.append_events(_plain("events", rng))
    return "taken"


# How


def _append(rng: random.Random, store: Store, table: str, frame: pl.DataFrame | FileRows) -> str:
    appended_to = {each.name: each for each in (ITEMS, EVENTS, IMPRESSIONS)}[table]
    n_before, n_refused = store.read(appended_to).height, store.read(REJECTED).height
    receipt = store.append(appended_to, frame)
    n_after = store.read(appended_to).height
    n_given = frame.n_rows if isinstance(frame, FileRows) else frame.height
    n_told = receipt.n_new + receipt.n_duplicate + receipt.n_rejected + receipt.n_known
    if receipt.n_in != n_told or receipt.n_in != n_given:
        return f"fault\t{table}: rows do not add up: {receipt}"
    if not n_before <= n_after <= n_before + receipt.n_new or (
        table != "items" and n_after != n_before + receipt.n_new
    ):
        return f"fault\t{table}: {n_before} rows and {receipt.n_new} new make {n_after}"
    rejected = store.read(REJECTED)
    if rejected.height < n_refused:
        return f"fault\t{table}: of {n_refused} rejected rows {rejected.height} are left"
    if receipt.n_rejected and rejected.height == n_refused and not sum(receipt.reasons.values()):
        return f"fault\t{table}: rejected rows are nowhere"
    if receipt.n_known and not rejected["settled"].count():
        return f"fault\t{table}: {receipt.n_known} known rows, and none is settled"
    return _resubmitted(rng, store)


def _resubmitted(rng: random.Random, store: Store) -> str:
    """Some rejected rows are corrected at random and resubmitted, or written off: each is stored, open or settled."""
    before = store.read(REJECTED)
    if before.is_empty() or rng.random() < 0.8:
        return "taken"
    chosen = before.sample(min(3, before.height), seed=rng.randrange(100))
    if rng.random() < 0.3:
        store.settle_rejected(chosen["content_hash"].to_list())
    lines = [{**line, "row": json.loads(line["row"])} for line in chosen.to_dicts()]
    for line in lines:
        for name in list(line["row"]):
            if rng.random() < 0.5:
                line["row"][name] = rng.choice([*VALUES[:12], "2024-01-02", "i1", line["row"][name]])
    hashes = set(before["content_hash"])
    n_stored = sum(store.read(table).height for table in (ITEMS, EVENTS, IMPRESSIONS))
    receipt = resubmit(store, json.loads(json.dumps(lines)))
    after = store.read(REJECTED)
    if not hashes <= set(after["content_hash"]):
        return "fault\ta rejected row is gone after a resubmission"
    n_more = sum(store.read(table).height for table in (ITEMS, EVENTS, IMPRESSIONS)) - n_stored
    if receipt.n_in != receipt.n_accepted + receipt.n_still_bad + receipt.n_known or n_more > receipt.n_accepted:
        return f"fault\tresubmitted rows do not add up: {receipt}, {n_more} more are stored"
    later = dict(after.select("content_hash", "replaced_by").iter_rows())
    for content_hash in later:
        passed = {content_hash}
        while (content_hash := later[content_hash]) is not None:
            if content_hash in passed or content_hash not in later:
                return "fault\ta rejected row is replaced by none that is left"
            passed.add(content_hash)
    return "taken"


def _plain(table: str, rng: random.Random) -> pl.DataFrame:
    """Rows as a shop would have them."""
    n = rng.randrange(1, 12)
    at = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(10_000)) for _ in range(n)]
    columns = {
        "item_id": [f"i{rng.randrange(9)}" for _ in range(n)],
        "user_id": [f"u{rng.randrange(9)}" for _ in range(n)],
        "impression_id": [f"m{rng.randrange(4)}" for _ in range(n)],
        "timestamp": at,
        "title": [rng.choice(["a lamp", "ein Löffel", "💡"]) for _ in range(n)],
        "price": [rng.random() for _ in range(n)],
        "event": [rng.choice(["click", "rating", None]) for _ in range(n)],
        "value": [rng.choice([1.0, 5.0, None]) for _ in range(n)],
        "label": [rng.randrange(2) for _ in range(n)],
    }
    return pl.DataFrame({name: column for name, column in columns.items() if name in NAMES[table]})


def _any_frame(rng: random.Random, table: str) -> pl.DataFrame:
    n = rng.choice([0, 1, 1, 3, 7])
    names = [name for name in NAMES[table] if rng.random() < 0.85] + ([rng.choice(VALUES[1:8])] * (rng.random() < 0.1))
    plain = _plain(table, rng).sample(n, with_replacement=True, seed=1) if table != "candidates" else None
    columns = {}
    for name in dict.fromkeys(map(str, names)):
        if plain is not None and name in plain.columns and rng.random() < 0.6:
            columns[name] = plain[name]
        elif name in ("user_id", "item_id") and rng.random() < 0.5:
            columns[name] = pl.Series(
                name, [rng.choice(["curl", "zlib1g-dev", "x"]) for _ in range(n)], dtype=pl.String
            )
        else:
            columns[name] = _series(rng, name, n)
    return pl.DataFrame(columns)


def _series(rng: random.Random, name: str, n: int) -> pl.Series:
    dtype = rng.choice(DTYPES)
    if dtype == pl.Object:
        return pl.Series(name, [rng.choice([1, "a", None, (1, 2)]) for _ in range(n)], dtype=pl.Object)
    makers: dict[Any, Callable[[], Any]] = {
        pl.Date: lambda: date(rng.randrange(1, 9999), 1, 1),
        pl.Time: lambda: time(rng.randrange(24)),
        pl.Datetime: lambda: datetime(rng.randrange(1700, 2200), 1, 1),
        pl.Duration: lambda: timedelta(seconds=rng.randrange(-(10**6), 10**6)),
        pl.Decimal: lambda: Decimal(rng.randrange(10**6)) / 7,
        pl.Binary: lambda: rng.randbytes(4),
        pl.List: lambda: (
            [rng.choice(["i1", None]) if dtype.inner == pl.String else rng.randrange(9)] * rng.randrange(3)
        ),
        pl.Array: lambda: [rng.random(), float("nan")],
        pl.Struct: lambda: {"a": rng.randrange(9)},
        pl.Enum: lambda: rng.choice(["u1", "i1", "click"]),
    }
    maker = makers.get(dtype.base_type())
    values = [None if rng.random() < 0.2 else (maker() if maker else rng.choice(VALUES)) for _ in range(n)]
    if maker:
        return pl.Series(name, values, dtype=dtype, strict=False)
    return (
        pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String).cast(
            dtype, strict=False
        )
        if dtype != pl.Boolean
        else pl.Series(name, [bool(value) for value in values])
    )


def _bytes(rng: random.Random, data: bytes) -> bytes:
    """The bytes with some flipped, put in, taken out, said twice, or cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(changed) + 1)
        length = rng.choice([1, 1, 4, 64])
        what = rng.randrange(6)
        if what == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            changed[at:at] = rng.randbytes(length)
        elif what == 2:
            del changed[at : at + length]
        elif what == 3:
            changed[at:at] = changed[at : at + length]
        elif what == 4:
            changed[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\x00\x00\x00\x00"])
        elif rng.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def _words(rng: random.Random, data: bytes) -> bytes:
    """The text with some of its values exchanged for others."""
    text = data.decode(errors="replace")
    for _ in range(rng.choice([1, 1, 3])):
        at = rng.randrange(len(text) + 1)
        cuts = [place for place in (text.find(mark, at) for mark in ',:}"\n') if place >= 0]
        text = text[:at] + rng.choice(WORDS) + text[min(cuts, default=at) if rng.random() < 0.7 else at :]
    return text.encode(errors="surrogatepass")


def _json(rng: random.Random, node: Any) -> None:
    """Exchanges one value, somewhere inside."""
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            return
        place = rng.choice(places)
        if isinstance(node[place], dict | list) and node[place] and rng.random() < 0.9:
            node = node[place]
            continue
        if isinstance(node, dict) and rng.random() < 0.15:
            del node[place]
        else:
            wild = [None, "", -1, 0, 1, 3, 0.5, 1e308, 10**18, True, [], {}, "../../etc/passwd", [1, "a"], "x" * 1000]
            node[place] = rng.choice(wild)
        return
