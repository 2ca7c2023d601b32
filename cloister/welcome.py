"""What `cloister up` says once everything answers: addresses, a curl line, an SDK snippet."""

import ipaddress
import json
from dataclasses import dataclass
from shlex import quote

import httpx

QUESTION = "Hello! What can you do?"


@dataclass(frozen=True, slots=True)
class Reception:
    """How a client reaches the stack: `model` is the first one listed, `key` what to send."""

    model: str
    key: str


async def ask(api_url: str, client: httpx.AsyncClient) -> Reception:
    """Find out what is served. Where API keys are on, the reader has to fill one in."""
    response = await client.get(f"{api_url}/models")
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return Reception(model="YOUR-MODEL", key="YOUR-KEY")
    response.raise_for_status()
    return Reception(model=response.json()["data"][0]["id"], key="none")


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
