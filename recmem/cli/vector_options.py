"""The options of commands that take vectors of items in place of a text encoder."""

from __future__ import annotations

from typing import Annotated

import typer

Vectors = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Vectors of the items, in place of a text encoder: a Parquet or Arrow file with item_id and vector (lists "
        "of numbers of one length). See docs/encoders.md.",
    ),
]
VectorsName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Names the model that made the vectors, such as clip-v1. Vectors of one name can be compared, and later "
        "files add to them.",
        show_default="that of the store's vectors; in a store without any, the name of the file",
    ),
]
