"""Bodies of the controller's own routes, read strictly; relayed ones are the worker's to read."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from cloister import http
from cloister.errors import BadRequest

Told = TypeVar("Told", bound=BaseModel)


async def told(request: Request, kind: type[Told]) -> Told:
    """The body as `kind`. Raises `BadRequest`, which names the place and repeats no value."""
    body = await http.read_body(request.receive)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the body"
        raise BadRequest(f"{place}: {fault['msg']}", param=place) from None
