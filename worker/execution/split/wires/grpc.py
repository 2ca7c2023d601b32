"""Bytes over gRPC: one stream of byte messages each way, under a method that needs no schema.

gRPC's own flow control holds back who sends too fast; a message has at most `PIECE_BYTES`.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import grpc

from cloister.ports import bind
from worker.execution.split.address import Address, Identity
from worker.execution.split.wires.mailbox import Mailbox

SERVICE, METHOD = "cloister.Split", "Session"
PIECE_BYTES = 2**20
HELD_BYTES = 4 * 2**20  # on their way between a session and gRPC, in each direction
LINGER_S = 5.0  # for a peer to take what was written before a close
MOST_STREAMS = 1024
OPTIONS = (
    ("grpc.max_receive_message_length", PIECE_BYTES),
    ("grpc.so_reuseport", 0),  # or a second server would share the port
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # each session has a connection of its own
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.max_ping_strikes", 0),
)

Messages = Iterator[bytes]


class Grpc:
    """One stream; a thread of its own brings what arrives, another one takes what is written."""

    def __init__(self, cancel: Callable[[], object], done: Callable[[], object]) -> None:
        self._cancel = cancel
        self._done = done
        self._arriving = Mailbox(HELD_BYTES)
        self._leaving = Mailbox(HELD_BYTES)
        self._gone = threading.Event()

    def write(self, pieces: Sequence[memoryview], deadline: float) -> None:
        for piece in pieces:
            for start in range(0, len(piece), PIECE_BYTES):
                self._leaving.put(bytes(piece[start : start + PIECE_BYTES]), deadline)

    def read(self, place: memoryview, deadline: float | None) -> int:
        return self._arriving.read(place, deadline)

    def shut(self) -> None:
        self._leaving.end()
        self._arriving.end()
        self._cancel()

    def close(self) -> None:
        self._leaving.end()
        self._arriving.end()
        if not self._gone.wait(LINGER_S):
            self._cancel()
        self._done()

    def leaving(self) -> Messages:
        """What was written, for gRPC to send."""
        try:
            while True:
                yield bytes(self._leaving.take(None))
        except ConnectionResetError:
            return
        finally:
            self._gone.set()

    def bring(self, messages: Messages) -> None:
        """Take what arrives, as fast as it is read."""
        threading.Thread(target=self._bring, args=(messages,), name="grpc", daemon=True).start()

    def _bring(self, messages: Messages) -> None:
        try:
            for message in messages:
                self._arriving.put(message, None)
        except (grpc.RpcError, OSError):
            pass  # the stream has ended, on this side or that one
        finally:
            self._arriving.end()
            self._leaving.end()


class GrpcListener:
    """A gRPC server with one method."""

    def __init__(self, address: Address) -> None:
        with bind(address.host, address.port) as probe:  # gRPC tells no reason
            port = probe.getsockname()[1]
        self._arrived: SimpleQueue[Grpc | None] = SimpleQueue()
        self._server = grpc.server(ThreadPoolExecutor(MOST_STREAMS), options=OPTIONS)
        handler: grpc.RpcMethodHandler[bytes, bytes]
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        generic = grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})
        self._server.add_generic_rpc_handlers((generic,))
        self.url = address.at(self._server.add_insecure_port(_target(address.at(port)))).url

    def start(self) -> None:
        self._server.start()

    def accept(self) -> Grpc:
        pipe = self._arrived.get()
        if pipe is None:
            self._arrived.put(None)
            raise ConnectionAbortedError("closed")
        return pipe

    def close(self) -> None:
        self._arrived.put(None)
        self._server.stop(LINGER_S)

    def _serve(self, messages: Messages, context: grpc.ServicerContext) -> Messages:
        pipe = Grpc(context.cancel, lambda: None)  # the stream ends when all is sent
        context.add_callback(pipe.shut)
        pipe.bring(messages)
        self._arrived.put(pipe)
        return pipe.leaving()


def connect(address: Address, timeout_s: float) -> Grpc:
    channel = grpc.insecure_channel(_target(address), options=OPTIONS)
    try:
        grpc.channel_ready_future(channel).result(timeout_s)
    except grpc.FutureTimeoutError:
        channel.close()
        raise TimeoutError(f"no gRPC server at {address.url}") from None
    pipe = Grpc(channel.close, channel.close)
    session: grpc.StreamStreamMultiCallable[bytes, bytes]
    session = channel.stream_stream(f"/{SERVICE}/{METHOD}")
    pipe.bring(session(pipe.leaving()))
    return pipe


def listen(address: Address, identity: Identity | None) -> GrpcListener:
    del identity
    return GrpcListener(address)


def _target(address: Address) -> str:
    return address.url.removeprefix("grpc://")
