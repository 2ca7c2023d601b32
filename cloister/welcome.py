"""What `cloister up` says once everything answers: addresses, a curl line, an SDK snippet."""

import ipaddress
import json
from dataclasses import dataclass
from shlex import quote

import httpx
from pydantic import SecretStr

from cloister.fleet import TOKEN_HEADER

QUESTION = "Hello! What can you do?"


@dataclass(frozen=True, slots=True)
class Reception:
    """What a client says to be served: a model's name, and a key or a place for one."""

    model: str
    key: str


async def ask(
    controller_url: str, worker_url: str, token: SecretStr, client: httpx.AsyncClient
) -> Reception:
    """Ask the worker what it serves, and the controller whether it wants an API key."""
    headers = {TOKEN_HEADER: token.get_secret_value()}
    models = await client.get(f"{worker_url}/v1/models", headers=headers)
    models.raise_for_status()
    door = await client.get(f"{controller_url}/v1/models")
    is_locked = door.status_code == httpx.codes.UNAUTHORIZED
    return Reception(models.json()["data"][0]["id"], "YOUR-KEY" if is_locked else "none")


def url(host: str, port: int) -> str:
    """An address that works on this machine, also when `host` means all interfaces."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def welcome(api_url: str, page_url: str | None, reception: Reception) -> str:
    """The whole greeting. Both examples run as printed (the second with `pip install openai`)."""
    places = [f"  API   {api_url}"] + ([f"  page  {page_url}"] if page_url else [])
    return "\n".join(
        [
            f"Cloister is up and serves {reception.model}.",
            "",
            *places,
            "",
            _curl(api_url, reception),
            "",
            _snippet(api_url, reception),
            "",
            "Ctrl-C stops everything.",
        ]
    )


def _curl(api_url: str, reception: Reception) -> str:
    body = {"model": reception.model, "messages": [{"role": "user", "content": QUESTION}]}
    key = "" if reception.key == "none" else f" -H 'authorization: Bearer {reception.key}'"
    return (
        f"curl {api_url}/chat/completions -H 'content-type: application/json'{key}"
        f" -d {quote(json.dumps(body))}"
    )


def _snippet(api_url: str, reception: Reception) -> str:
    return f"""\
from openai import OpenAI
client = OpenAI(base_url={api_url!r}, api_key={reception.key!r})
answer = client.chat.completions.create(
    model={reception.model!r},
    messages=[{{"role": "user", "content": {QUESTION!r}}}],
)
print(answer.choices[0].message.content)"""
