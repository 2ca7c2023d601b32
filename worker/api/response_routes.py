"""What can be done with a response that is kept: read it, read its input, delete it."""

from typing import Annotated, Literal

from fastapi import FastAPI, Query
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from cloister import openapi
from cloister.errors import BadRequest
from cloister.wire.response import Deleted, ResponseBody
from cloister.wire.response_items import Item, ItemList
from worker.api.response_frames import dumped
from worker.api.response_store import ResponseStore

KEPT = "/v1/responses/{response_id}"
JSON = "application/json"
PAGE = 20  # OpenAI's default for lists
SHOWN = 64  # characters of a made-up name that an error repeats at most


def add(app: FastAPI, store: ResponseStore) -> None:
    """All of them answer 404 for what is not kept, or is another tenant's."""

    @app.get(
        KEPT,
        response_model=None,
        responses={200: {"model": ResponseBody}, **openapi.errors(400, 401, 404)},
    )
    async def retrieve(request: HttpRequest, response_id: str) -> Response:
        """A kept response."""
        _check_queries(request, ())
        kept = store.find(request.state.tenant, response_id)
        return Response(dumped(kept.response), media_type=JSON)

    @app.delete(KEPT, responses=openapi.errors(400, 401, 404))
    async def delete(request: HttpRequest, response_id: str) -> Deleted:
        """Forget a response; those that followed it keep its items."""
        _check_queries(request, ())
        store.delete(request.state.tenant, response_id)
        return Deleted(id=response_id)

    @app.get(f"{KEPT}/input_items", responses=openapi.errors(400, 401, 404))
    async def input_items(
        request: HttpRequest,
        response_id: str,
        limit: Annotated[int, Query(ge=1, le=100)] = PAGE,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> ItemList:
        """All items that the model read, earlier responses' too; instructions are no item."""
        _check_queries(request, ("limit", "order", "after"))
        items = store.find(request.state.tenant, response_id).items
        rest = _behind(items[::-1] if order == "desc" else items, after)
        page = rest[:limit]
        first, last = (page[0].id, page[-1].id) if page else ("", "")
        return ItemList(data=page, first_id=first, last_id=last, has_more=len(rest) > limit)

    @app.post(f"{KEPT}/cancel", response_model=None, responses=openapi.errors(400, 401, 404))
    async def cancel(request: HttpRequest, response_id: str) -> Response:
        """Refused: a kept response has ended. One that runs ends when its client leaves."""
        store.find(request.state.tenant, response_id)
        message = "response_id: only responses in the background can be cancelled, and this is none"
        raise BadRequest(message, param="response_id")


def _behind(items: tuple[Item, ...], after: str | None) -> tuple[Item, ...]:
    if after is None:
        return items
    for place, item in enumerate(items):
        if item.id == after:
            return items[place + 1 :]
    raise BadRequest("after: no item of this response has this id", param="after")


def _check_queries(request: HttpRequest, known: tuple[str, ...]) -> None:
    """OpenAI has more of them (`include`, `stream`, ...); none is ignored."""
    for name in request.query_params:
        if name not in known:
            shown = name[:SHOWN]
            message = f"{shown}: this query parameter is not supported"
            raise BadRequest(message, param=shown, code="unsupported_parameter")
