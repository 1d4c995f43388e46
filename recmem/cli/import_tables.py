"""`recmem import`: reads public data sets as they are published, and writes recmem's tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, say
from recmem.cli.error_handling import GuardedCommand

if TYPE_CHECKING:
    from feature_store.importers.import_receipt import ImportReceipt

READING = "Reading lines"

importing = typer.Typer(
    name="import",
    help="Turn a public data set into recmem's tables.\n\nThe files are read as they were downloaded, compressed by "
    "gzip or not. docs/public_datasets.md says what becomes of each column, and under which licence the data sets are.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Out = Annotated[
    Path,
    typer.Option(
        metavar="PATH", help="Folder for the tables: items.parquet, events.parquet and others. It has none yet."
    ),
]
AllItems = Annotated[
    bool, typer.Option("--all-items", help="Keep items without an event too; they are left out by default.")
]


@importing.command(cls=GuardedCommand)
def mind(
    news: Annotated[list[Path], typer.Option(metavar="PATH", help="news.tsv; repeat it for several splits.")],
    behaviors: Annotated[
        list[Path],
        typer.Option(
            metavar="PATH",
            help="behaviors.tsv; repeat it for several splits. Impressions without labels become candidates.parquet.",
        ),
    ],
    out: Out,
) -> None:
    """Import MIND, the news recommendation data set.

    Clicks become events at their times. Those of the history column, which has an order and no times, become events
    before the first impression, which are read from the first row on that has them.
    """
    from feature_store.importers.mind import import_mind

    with Bars().stage(READING, None) as advance:
        receipt = import_mind(news, behaviors, out, advance)
    _show(receipt)


@importing.command(cls=GuardedCommand)
def movielens(
    movies: Annotated[Path, typer.Option(metavar="PATH", help="movies.csv, movies.dat or u.item.")],
    ratings: Annotated[Path, typer.Option(metavar="PATH", help="ratings.csv, ratings.dat or u.data.")],
    out: Out,
    tags: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="tags.csv or tags.dat: those given in the first part of the log are read."),
    ] = None,
    users: Annotated[Path | None, typer.Option(metavar="PATH", help="users.dat or u.user.")] = None,
) -> None:
    """Import MovieLens in any of its forms.

    The files are CSV (ml-latest, 20M, 25M, 32M), have `::` between their fields (10M, 1M), or are those of ml-100k.
    Ratings become events with their value.
    """
    from feature_store.importers.movielens import import_movielens

    with Bars().stage(READING, None) as advance:
        receipt = import_movielens(movies, ratings, out, tags=tags, users=users, on_lines=advance)
    _show(receipt)


@importing.command(cls=GuardedCommand)
def amazon(
    reviews: Annotated[
        Path,
        typer.Option(metavar="PATH", help="Reviews, such as Office_Products_5.json.gz or Office_Products.jsonl.gz."),
    ],
    metadata: Annotated[
        Path,
        typer.Option(metavar="PATH", help="Metadata of the same category and year, such as meta_Office_Products..."),
    ],
    out: Out,
    all_items: AllItems = False,
) -> None:
    """Import Amazon reviews of 2014, 2018 or 2023.

    Stars become events with their value; the texts of reviews are not read.
    """
    from feature_store.importers.amazon import import_amazon

    with Bars().stage(READING, None) as advance:
        receipt = import_amazon(reviews, metadata, out, all_items=all_items, on_lines=advance)
    _show(receipt)


@importing.command(cls=GuardedCommand)
def goodreads(
    books: Annotated[
        Path, typer.Option(metavar="PATH", help="goodreads_books*.json.gz, or books.csv of goodbooks-10k.")
    ],
    interactions: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="goodreads_interactions*.json.gz, goodreads_reviews*.json.gz, or ratings.csv of goodbooks-10k.",
        ),
    ],
    out: Out,
    authors: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="goodreads_book_authors.json.gz: the names of authors, who are ids in books."
        ),
    ] = None,
    all_items: AllItems = False,
) -> None:
    """Import Goodreads: the UCSD Book Graph or goodbooks-10k.

    Ratings become events with their value, books on shelves events without one.
    """
    from feature_store.importers.goodreads import import_goodreads

    with Bars().stage(READING, None) as advance:
        receipt = import_goodreads(books, interactions, out, authors=authors, all_items=all_items, on_lines=advance)
    _show(receipt)


def _show(receipt: ImportReceipt) -> None:
    say(str(receipt))
