"""The options of commands that learn which say how the text encoder reads texts."""

from __future__ import annotations

from typing import Annotated

import typer

Encoder = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|ID",
        help="Text encoder: a local folder or a Hugging Face id.",
        show_default="all-MiniLM-L6-v2 from recmem[minilm], no download",
    ),
]
TextPrefix = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help='Put before every text, for encoders trained with one, e.g. "query: " for e5: see docs/encoders.md.',
        show_default=False,
    ),
]
Pooling = Annotated[
    str | None,
    typer.Option(
        metavar="mean|cls|last",
        help="How the encoder pools tokens to a vector: see its model card.",
        show_default="as sentence-transformers saved it, else mean",
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Texts are cut to this many tokens.",
        show_default="256, or fewer if the encoder was saved with fewer",
    ),
]
