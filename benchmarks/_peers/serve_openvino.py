"""A thin OpenAI server before OpenVINO GenAI's continuous batching, which comes without one.

    python -m benchmarks._peers.serve_openvino MODEL CHECKPOINT THREADS PORT

It knows streamed chats with `max_tokens` and `temperature`, and nothing else. One thread steps the
pipeline; each connection has its own. Needs what OpenVINO's environment has.
"""

import json
import queue
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jinja2
from tokenizers import Tokenizer

from benchmarks._peers.run_openvino import as_tensor, greedy, pipeline

INCOMPLETE = "\ufffd"


@dataclass
class Chat:
    """One request on its way; `pieces` brings new ids, and None behind the last."""

    ids: list[int]
    tokens: int
    temperature: float
    pieces: "queue.SimpleQueue[list[int] | None]" = field(default_factory=queue.SimpleQueue)


class Steps(threading.Thread):
    """Owns the pipeline: takes new chats, steps, hands out what came."""

    def __init__(self, model: str, threads: int) -> None:
        super().__init__(daemon=True)
        self.waiting: queue.SimpleQueue[Chat] = queue.SimpleQueue()
        self._pipeline = pipeline(model, threads)
        self._running: list[tuple[Chat, Any]] = []
        self._asked = 0

    def run(self) -> None:
        while True:
            while not (self._running and self.waiting.empty()):
                self._begin(self.waiting.get())
            self._pipeline.step()
            self._running = [each for each in self._running if self._goes_on(*each)]

    def _begin(self, chat: Chat) -> None:
        how = greedy(chat.tokens)
        if chat.temperature:
            how.do_sample, how.temperature = True, chat.temperature
        self._asked += 1
        handle = self._pipeline.add_request(self._asked, as_tensor(chat.ids), how)
        self._running.append((chat, handle))

    def _goes_on(self, chat: Chat, handle: Any) -> bool:
        if handle.can_read():
            for output in handle.read().values():
                chat.pieces.put(list(output.generated_ids))
                chat.tokens -= len(output.generated_ids)
        if chat.tokens > 0:
            return True
        chat.pieces.put(None)
        return False


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    steps: Steps
    tokenizer: Tokenizer
    template: jinja2.Template

    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [{"id": "openvino", "object": "model"}]})
        self._head("application/json", length=len(body))
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = self.template.render(messages=asked["messages"], add_generation_prompt=True)
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        chat = Chat(ids, asked["max_tokens"], asked["temperature"])
        self.steps.waiting.put(chat)
        self._head("text/event-stream", length=None)
        count = 0
        for piece, said in self._texts(chat):
            count += piece
            self._event({"choices": [{"index": 0, "delta": {"content": said}}]})
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
        usage = {"prompt_tokens": len(ids), "completion_tokens": count}
        self._event({"choices": [], "usage": usage | {"total_tokens": len(ids) + count}})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def log_message(self, format: str, *words: object) -> None:
        """Requests are not news."""

    def _texts(self, chat: Chat) -> Iterator[tuple[int, str]]:
        """How many tokens came, and the text that is certain with them."""
        held: list[int] = []
        for ids in iter(chat.pieces.get, None):
            held += ids
            text = self.tokenizer.decode(held, skip_special_tokens=True)
            if text.endswith(INCOMPLETE):
                continue
            yield len(held), text
            held = []
        if held:
            yield len(held), self.tokenizer.decode(held, skip_special_tokens=True)

    def _head(self, kind: str, length: int | None) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        if length is None:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(length))
        self.end_headers()

    def _event(self, value: dict[str, Any]) -> None:
        whole = {"id": "0", "object": "chat.completion.chunk", "created": 0, "model": "openvino"}
        self._chunk(b"data: " + json.dumps(whole | value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


class Server(ThreadingHTTPServer):
    """Connections may come all at once, and none outlives the server."""

    request_queue_size = 64
    daemon_threads = True


def main(model: str, checkpoint: str, threads: str, port: str) -> None:
    folder = Path(checkpoint)
    told = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    Handler.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    Handler.template = jinja2.Environment(autoescape=False).from_string(told["chat_template"])
    Handler.steps = Steps(model, int(threads))
    Handler.steps.start()
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
