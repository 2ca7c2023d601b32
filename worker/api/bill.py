"""What a request cost: counted while it is answered, reported to the controller when it ends."""

from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloister.fleet import PROMPT_HEADER, USAGE_HEADER
from cloister.http import add_headers, header
from cloister.usage import UsageLog

ID_LENGTH = 64


@dataclass(slots=True)
class Bill:
    """The tokens of one HTTP request so far; prompt tokens include the cached ones."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0


class Billing:
    """Gives each request a bill, as `state.bill`, and logs it when the request ends, however.

    A request is logged if it carries the controller's usage id and was answered, or left while it
    was. Whoever gets here has shown the worker's token; without one, `believes` is false, and a
    usage id means nothing.
    """

    def __init__(self, app: ASGIApp, log: UsageLog, *, believes: bool) -> None:
        self.app = app
        self.log = log
        self.believes = believes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        bill = scope["state"]["bill"] = Bill()
        id = (header(scope, USAGE_HEADER) or "")[:ID_LENGTH] if self.believes else ""
        if not id:
            return await self.app(scope, receive, send)
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = message["status"] < 400
                if bill.prompt_tokens:
                    add_headers(message, {PROMPT_HEADER: str(bill.prompt_tokens)})
            await send(message)

        try:
            return await self.app(scope, receive, watched)
        finally:
            if answered or bill.generated_tokens:
                self._add(id, scope["state"]["tenant"], bill)

    def _add(self, id: str, tenant: str, bill: Bill) -> None:
        self.log.add(
            id,
            tenant,
            prompt_tokens=bill.prompt_tokens,
            cached_tokens=bill.cached_tokens,
            generated_tokens=bill.generated_tokens,
        )
