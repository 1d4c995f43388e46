"""`recmem match`: scores texts that are no items of the store against a user's memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import complain, show_table
from recmem.cli.error_handling import UsageError
from recmem.cli.options import AsOf, ModelSource, OnlineUrl, StorePath, User, parse_time
from recmem.cli.printable import one_line


def match(
    model: ModelSource,
    user: User,
    text: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="A text to score; repeatable.")] = None,
    texts: Annotated[
        str | None, typer.Option(metavar="PATH", help="File with further texts, one a line, in UTF-8; - for stdin.")
    ] = None,
    store: StorePath = None,
    online: OnlineUrl = None,
    timestamp: AsOf = None,
) -> None:
    """Match texts with a user's memory.

    The texts, such as prepared answers, articles or offers, need not be items of the store. Shows them with the best
    first, and the memories that each score builds on. Nothing is written.
    """
    time = parse_time(timestamp, option="--timestamp")
    given = [*(text or ()), *(_lines(texts) if texts else ())]
    if not given:
        raise UsageError("--text: expected at least one text, got none. Give --text or --texts.")
    import recmem

    scored = recmem.load(model, store=store, online=online).match_texts(user, given, timestamp=time)
    if scored["unknown_user"].any():
        complain(f"{one_line(user)}: the user has no events in the store, so the scores are those of the texts alone.")
    ordered = scored.sort("match_raw", descending=True, maintain_order=True)
    rows = [
        [row["text"], row["reason"], f"{row['match_score']:.4f}", f"{row['match_raw']:+.2f}"]
        for row in ordered.iter_rows(named=True)
    ]
    show_table(("text", "reason", "match score", "raw"), rows, title=f"Match with the memory of {user}", n_words=2)


def _lines(path: str) -> list[str]:
    """The lines of a file that have words."""
    try:
        content = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--texts: expected text in UTF-8, got byte {error.object[error.start]:#04x}. Convert it."
        ) from error
    return [line for line in content.splitlines() if line.strip()]
