"""`recmem serve`: answers requests over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from feature_store.extras import install_command
from recmem.cli.console import say
from recmem.cli.options import ModelSource, OnlineUrl, StorePath


def serve(
    model: ModelSource,
    store: StorePath = None,
    online: OnlineUrl = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen at. There is no login: let others reach it through your gateway only.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen at; 0 for any free one.")
    ] = 8000,
    follow_every: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How often to look whether an alias (models:/recmem@champion) stands for another version, which is "
            "then loaded beside the one in use. 0: never.",
        ),
    ] = 30.0,
    waiting: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Requests of an endpoint that may wait; more are answered with status 503."
        ),
    ] = 1000,
) -> None:
    """Answer requests over HTTP.

    Endpoints: /rank, /recommend, /match, /match_texts, /explain, /events, /users. Requests that arrive together are
    answered together. /docs describes them, /healthz and /metrics are for your monitoring. One process uses all cores;
    several share memories with --online.
    """
    import recmem

    try:
        from recmem.server.app import create_app
        from recmem.server.listening import listen
    except ModuleNotFoundError as error:
        raise ImportError(
            f"serve: expected FastAPI, uvicorn and prometheus-client, got no {error.name}. Run "
            f"{install_command('serve')}."
        ) from error
    from recmem.server.current_model import CurrentModel

    def load(source: str) -> recmem.Model:
        return recmem.load(source, store=store, online=online)

    # Loaded before anything listens, so that a model that cannot be loaded is an ordinary error.
    app = create_app(CurrentModel(model, load), follow_every_s=follow_every or None, max_waiting=waiting)
    listen(
        app,
        host,
        port,
        on_start=lambda url: say(f"Serving {model} at {url} (API description: /docs). Ctrl+C stops it."),
    )
