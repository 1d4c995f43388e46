"""The options of commands that learn which say how the text encoder reads texts."""

from __future__ import annotations

from typing import Annotated

import typer

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
