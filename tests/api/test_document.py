"""The OpenAPI document names bodies, events and errors, and no status that is never sent."""

import json
import re

import httpx


async def test_references_all_resolve(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert {"ChatRequest", "ChatAnswer", "ChatChunk", "ErrorBody"} <= names <= set(schemas)


async def test_generating_routes_are_described(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    route = document["paths"]["/v1/chat/completions"]["post"]
    assert set(route["responses"]) == {
        "200",
        "400",
        "401",
        "404",
        "408",
        "413",
        "429",
        "500",
        "503",
    }
    assert set(route["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert route["requestBody"]["required"]
    fields = document["components"]["schemas"]["ChatRequest"]
    assert fields["additionalProperties"] is False
    assert fields["properties"]["stream"]


async def test_no_route_promises_a_422(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    routes = [route for path in document["paths"].values() for route in path.values()]
    assert all("422" not in route["responses"] for route in routes)
