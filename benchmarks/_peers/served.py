"""The peers' servers, one at a time, under the load generator of `benchmarks.serve`."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import httpx
from rich.table import Table

from benchmarks._peers.measure import Start
from benchmarks._peers.process import ROOT, PeerFailed, Process
from cloister.ports import free_ports

POLL_S = 0.2
LENGTHS = ("--prompt-tokens", "128", "--output-tokens", "64", "--temperature", "0")
KEYS = ("ttft_ms_p50", "itl_ms_p50", "output_tokens_per_s")

Level = dict[str, Any]
"""A load of `benchmarks.serve` as its JSON tells it."""


def load(start: Start, streams: Sequence[int], requests: int) -> list[Level]:
    """Start a server, wait until it answers, load it, end it. Raises `PeerFailed`."""
    (port,) = free_ports(["127.0.0.1"])
    command = tuple(word.replace("{port}", str(port)) for word in start.command)
    url = f"http://127.0.0.1:{port}/v1"
    with Process(command, start.threads, start.log, talks=False) as server:
        _await(server, url, start.deadline_s)
        levels = _measure(url, streams, requests, start)
        return [{**level, "peak_bytes": server.peak_bytes} for level in levels]


def medians(turns: Sequence[Sequence[Level]]) -> dict[str, dict[str, float]]:
    """Of several turns: for each number of streams, the median of each of `KEYS` and the memory."""
    loads = [level["load"] for level in turns[0]]
    return {
        load: {key: median(turn[place][key] for turn in turns) for key in (*KEYS, "peak_bytes")}
        for place, load in enumerate(loads)
    }


def table(found: dict[str, dict[str, dict[str, float]]]) -> Table:
    shown = Table("peer", "streams", "TTFT ms", "between tokens ms", "tok/s", "peak MiB")
    for peer, loads in found.items():
        for load, level in loads.items():
            memory = f"{level['peak_bytes'] / 2**20:.0f}"
            shown.add_row(peer, load, *(f"{level[key]:.1f}" for key in KEYS), memory)
    return shown


def _await(server: Process, url: str, deadline_s: float) -> None:
    """Until the server lists its models."""
    end_s = time.monotonic() + deadline_s
    with httpx.Client(trust_env=False, timeout=deadline_s) as http:
        while time.monotonic() < end_s:
            server.alive()
            try:
                if http.get(f"{url}/models").is_success:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            time.sleep(POLL_S)
    raise PeerFailed("the server was not ready in time")


def _measure(url: str, streams: Sequence[int], requests: int, start: Start) -> list[Level]:
    count = ("--streams", ",".join(map(str, streams)), "--requests", str(requests))
    patience = ("--timeout-s", str(start.deadline_s))
    command = (sys.executable, "-m", "benchmarks.serve", url, *count, *LENGTHS, *patience)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["requests failed"])[-1]
        raise PeerFailed(f"the load generator gave {done.returncode}: {reason}")
    levels: list[Level] = json.loads(done.stdout.splitlines()[-1])["levels"]
    return levels
