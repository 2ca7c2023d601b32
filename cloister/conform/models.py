"""Checks of the list of models."""

from cloister.conform.check import Suite, expect
from cloister.conform.server import Server
from cloister.conform.shapes import ErrorBody, Model, ModelList, read
from cloister.conform.stream import refused

suite = Suite("models")


@suite.check("GET /models lists models in OpenAI's shape")
async def listed(server: Server) -> None:
    reply = await server.get("/models")
    expect(reply.status == 200, refused(reply))
    found = read(ModelList, reply.json)
    expect(server.model in [model.id for model in found.data], "the model is not in the list")


@suite.check("GET /models/{id} tells the same of one model")
async def retrieved(server: Server) -> None:
    reply = await server.get(f"/models/{server.model}")
    expect(reply.status == 200, refused(reply))
    told = read(Model, reply.json)
    listed = read(ModelList, (await server.get("/models")).json)
    expect(told in listed.data, "it differs from its entry in the list")


@suite.check("an unknown model is a 404 with OpenAI's error body")
async def unknown(server: Server) -> None:
    reply = await server.get("/models/no-such-model-anywhere")
    expect(reply.status == 404, f"the status is {reply.status}")
    read(ErrorBody, reply.json)
