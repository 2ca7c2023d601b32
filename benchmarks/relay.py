"""What the controller adds: the same streams from a worker, directly and through the controller.

    python -m benchmarks.relay --streams 1,16

A worker that only streams stamps each event with the time at which it writes it, so the client
knows each event's delay. Direct and relayed rounds take turns. Three processes, one machine.

- first token: from sending the request to the first event, on a connection that is open already.
- chunk: from the worker's write to the client's read.
- added: median relayed - median direct. cpu: the controller's processor time an event.

The last line of the output is JSON; the exit status is 1 when more is added than the limits allow.
"""

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

from cloister.fleet import JOIN_PATH, TOKEN_HEADER, FleetModel, Join, WorkerState
from cloister.ports import free_ports

MODEL = "relay-benchmark"
FIRST_LIMIT_MS = 2.0
CHUNK_LIMIT_MS = 0.2
BODY = json.dumps({"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]})
TOKEN_TEXT = '{"id":"x","object":"chat.completion.chunk","choices":[{"delta":{"content":" word"}}]}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
WARM_UP_TOKENS = 5


@dataclass
class Times:
    """In milliseconds."""

    first_ms: list[float] = field(default_factory=list)
    chunk_ms: list[float] = field(default_factory=list)
    events: int = 0  # uncounted ones too


@dataclass(frozen=True)
class Row:
    """One number of streams. `added_*` are the differences of medians."""

    streams: int
    direct_first_ms: float
    relayed_first_ms: float
    added_first_ms: float
    direct_chunk_ms: float
    relayed_chunk_ms: float
    added_chunk_ms: float
    cpu_ms_per_chunk: float

    @property
    def within_limits(self) -> bool:
        return self.added_first_ms <= FIRST_LIMIT_MS and self.added_chunk_ms <= CHUNK_LIMIT_MS


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if a limit is passed."""
    args = _parser().parse_args(argv)
    if args.worker:
        asyncio.run(_worker(args.tokens, args.gap_ms / 1000))
        return 0
    rows = asyncio.run(_measure(args))
    Console(width=110 if not sys.stdout.isatty() else None).print(_table(rows))
    limits = {"first_ms": FIRST_LIMIT_MS, "chunk_ms": CHUNK_LIMIT_MS}
    good = all(row.within_limits for row in rows)
    print(json.dumps({"rows": [asdict(row) for row in rows], "limits": limits, "within": good}))
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.relay",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--streams", default="1,16", help="parallel streams (%(default)s)")
    add("--rounds", type=int, default=5, help="rounds of each kind (%(default)s)")
    add("--tokens", type=int, default=100, help="events a stream (%(default)s)")
    add("--gap-ms", type=float, default=20.0, help="between a stream's events (%(default)s)")
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


async def _measure(args: argparse.Namespace) -> list[Row]:
    words = ("--tokens", str(args.tokens), "--gap-ms", str(args.gap_ms))
    worker = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "benchmarks.relay", "--worker", *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout is not None
        worker_port = int(worker.stdout.readline())
        async with _controller(f"http://127.0.0.1:{worker_port}") as (process, port):
            streams = [int(word) for word in args.streams.split(",")]
            return [
                await _row(count, args.rounds, (worker_port, port), process.pid)
                for count in streams
            ]
    finally:
        worker.kill()
        worker.communicate()


@asynccontextmanager
async def _controller(worker_url: str) -> AsyncIterator[tuple[subprocess.Popen[bytes], int]]:
    port, token = free_ports(["127.0.0.1"])[0], secrets.token_urlsafe()
    folder = tempfile.TemporaryDirectory()
    environment = {
        "CLOISTER_CONTROLLER_JOIN_TOKEN": token,
        "CLOISTER_CONTROLLER_BEAT_INTERVAL_S": "600",
        "CLOISTER_CONTROLLER_LOG_LEVEL": "warning",
        "CLOISTER_CONTROLLER_ACCOUNTS_FILE": f"{folder.name}/accounts.sqlite",
    }
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "controller", "--port", str(port)],
        env={**os.environ, **environment},
    )
    try:
        await _join(f"http://127.0.0.1:{port}", worker_url, token)
        yield process, port
    finally:
        process.kill()
        process.wait()
        folder.cleanup()


async def _join(controller_url: str, worker_url: str, token: str) -> None:
    model = FleetModel(id=MODEL, created=0, context_length=1)
    join = Join(url=worker_url, state=WorkerState(models=(model,)))
    transport = httpx.AsyncHTTPTransport(retries=8)  # until the controller listens
    async with httpx.AsyncClient(
        base_url=controller_url, transport=transport, headers={TOKEN_HEADER: token}
    ) as client:
        (await client.post(JOIN_PATH, content=join.model_dump_json())).raise_for_status()


async def _row(streams: int, rounds: int, ports: tuple[int, int], pid: int) -> Row:
    direct, relayed = Times(), Times()
    cpu_s = 0.0
    for _ in range(rounds):
        await _round(ports[0], streams, direct)
        before_s = _cpu_s(pid)
        await _round(ports[1], streams, relayed)
        cpu_s += _cpu_s(pid) - before_s
    return Row(
        streams=streams,
        direct_first_ms=median(direct.first_ms),
        relayed_first_ms=median(relayed.first_ms),
        added_first_ms=median(relayed.first_ms) - median(direct.first_ms),
        direct_chunk_ms=median(direct.chunk_ms),
        relayed_chunk_ms=median(relayed.chunk_ms),
        added_chunk_ms=median(relayed.chunk_ms) - median(direct.chunk_ms),
        cpu_ms_per_chunk=1000 * cpu_s / relayed.events,
    )


async def _round(port: int, streams: int, times: Times) -> None:
    async with asyncio.TaskGroup() as group:
        for index in range(streams):
            group.create_task(_stream(port, index / streams, times))


async def _stream(port: int, phase: float, times: Times) -> None:
    """Two requests on one connection: the first one opens all connections and is not counted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.02 * phase)  # so that streams do not march in step
    for counted in (False, True):
        began = time.perf_counter_ns()
        writer.write(_request())
        first_ms, delays_ms = await _read_events(reader, began)
        times.events += len(delays_ms)
        if counted:
            times.first_ms.append(first_ms)
            times.chunk_ms += delays_ms[WARM_UP_TOKENS:]
    writer.close()
    await writer.wait_closed()


async def _read_events(reader: asyncio.StreamReader, began: int) -> tuple[float, list[float]]:
    first_ms, delays_ms = 0.0, []
    while True:
        event = await reader.readuntil(b"\n\n")
        now = time.perf_counter_ns()
        data = event[event.index(b"data: ") + 6 :]
        if data.startswith(b"[DONE]"):
            break
        first_ms = first_ms or (now - began) / 1e6
        delays_ms.append((now - int(data.partition(b" ")[0])) / 1e6)
    await reader.readuntil(b"0\r\n\r\n")
    return first_ms, delays_ms


def _request() -> bytes:
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    )
    return (head + BODY).encode()


async def _worker(tokens: int, gap_s: float) -> None:
    """Prints its port, then answers each request with stamped events for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            await reader.readexactly(_length(head))
            writer.write(HEAD)
            for _ in range(tokens):
                event = f"data: {time.perf_counter_ns()} {TOKEN_TEXT}\n\n".encode()
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                await asyncio.sleep(gap_s)
            writer.write(DONE)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """A request's head; empty when the client has gone."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _table(rows: Sequence[Row]) -> Table:
    result = Table(title="medians in ms: direct, relayed, added")
    for column in ("streams", "first token", "added", "chunk", "added", "cpu"):
        result.add_column(column, justify="right")
    for row in rows:
        result.add_row(
            str(row.streams),
            f"{row.direct_first_ms:.2f} / {row.relayed_first_ms:.2f}",
            f"{row.added_first_ms:.2f}",
            f"{row.direct_chunk_ms:.3f} / {row.relayed_chunk_ms:.3f}",
            f"{row.added_chunk_ms:.3f}",
            f"{row.cpu_ms_per_chunk:.3f}",
        )
    return result


if __name__ == "__main__":
    sys.exit(main())
