"""One turn of a conversation by response: what came before, what is asked, what will be kept."""

import time
from dataclasses import dataclass, field

from cloister.errors import BadRequest, NotFound
from cloister.response_id import previous_not_found
from cloister.wire.chat import TextFormat
from cloister.wire.response import Reasoning, ResponseBody, ResponseRequest, TextConfig
from cloister.wire.response_items import Item
from worker.api.response_input import check_calls, items_of
from worker.api.response_store import Kept, ResponseStore
from worker.engine.request import Sampling


@dataclass(frozen=True, slots=True)
class Turn:
    """`items` are all that the model reads but the instructions, in about `size_bytes`."""

    id: str
    wire: ResponseRequest = field(repr=False)
    items: tuple[Item, ...] = field(repr=False)
    tenant: str
    store: ResponseStore
    size_bytes: int

    @classmethod
    def begin(
        cls, wire: ResponseRequest, tenant: str, store: ResponseStore, body_bytes: int
    ) -> "Turn":
        """Raises `BadRequest`, and `NotFound` if the previous response is not kept."""
        if wire.store and not store.keeps:
            raise BadRequest("store: this server keeps no responses", param="store")
        previous = _previous(wire, tenant, store)
        earlier = () if previous is None else previous.history
        new = items_of(wire.input)
        check_calls(earlier, new)
        size_bytes = body_bytes + (0 if previous is None else previous.size_bytes)
        return cls(store.new_id(), wire, (*earlier, *new), tenant, store, size_bytes)

    @property
    def is_kept(self) -> bool:
        return self.store.keeps and self.wire.store is not False

    def draft(self, sampling: Sampling) -> ResponseBody:
        """The response before anything is generated, with `sampling` as it really is."""
        wire = self.wire
        return ResponseBody(
            id=self.id,
            created_at=int(time.time()),
            instructions=wire.instructions,
            max_output_tokens=wire.max_output_tokens,
            metadata=wire.metadata or {},
            model=wire.model,
            parallel_tool_calls=wire.parallel_tool_calls is not False,
            previous_response_id=wire.previous_response_id,
            reasoning=Reasoning(effort=wire.effort),
            store=self.is_kept,
            temperature=sampling.temperature,
            text=TextConfig(format=wire.format or TextFormat(type="text")),
            tool_choice=wire.tool_choice or "auto",
            tools=tuple(wire.tools or ()),
            top_logprobs=wire.top_logprobs or 0,
            top_p=sampling.top_p,
            user=wire.user,
        )

    def keep(self, response: ResponseBody) -> None:
        """Keep a response that has ended well, if that was asked for."""
        if self.is_kept:
            size_bytes = self.size_bytes + len(response.model_dump_json())
            self.store.put(Kept(self.tenant, response, self.items, size_bytes))


def _previous(wire: ResponseRequest, tenant: str, store: ResponseStore) -> Kept | None:
    if wire.previous_response_id is None:
        return None
    try:
        return store.find(tenant, wire.previous_response_id)
    except NotFound:
        raise previous_not_found() from None
