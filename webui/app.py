"""The page as one ASGI application: Gradio's, behind the gate, with a route for health."""

import gradio as gr
from fastapi import FastAPI, Response

from cloister.client import Client
from cloister.http import install
from webui.answers import Answers
from webui.gate import Gate
from webui.page import Page
from webui.parts import head, resource
from webui.settings import PageSettings
from webui.talk import Talk
from webui.theme import theme


def build(settings: PageSettings, client: Client, answers: Answers) -> FastAPI:
    """The application; whoever built `client` closes it."""
    app = FastAPI(openapi_url=None)
    page = Page(settings.title, Talk(client, answers))
    _own_routes(app)
    gr.mount_gradio_app(
        app,
        page.blocks,
        path="/",
        app_kwargs={"openapi_url": None},
        theme=theme(),
        head=head(),
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
    )
    install(app)
    app.add_middleware(Gate)
    return app


def _own_routes(app: FastAPI) -> None:
    icon = resource("icon.svg")

    @app.get("/health")
    @app.get("/ready")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/favicon.ico")
    async def favicon() -> Response:
        return Response(icon, media_type="image/svg+xml")
