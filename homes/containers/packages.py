"""Where the images' packages come from: the pip settings of whoever builds, as build arguments.

A folder of wheels on this machine is not to be seen from a build, so it is served over loopback.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def arguments(environment: Mapping[str, str], links: str) -> dict[str, str]:
    """The build arguments: pip's settings as far as they are set, `links` for the folders.

    The GPU server is built for the CPU too: gigabytes of GPU libraries would prove nothing here.
    """
    told = {name: environment[name] for name in SETTINGS if name in environment}
    told["PIP_FIND_LINKS"] = links
    told["GPU_EXTRA_INDEX_URL"] = told.get("PIP_EXTRA_INDEX_URL", CPU_INDEX)
    return told


@contextmanager
def served(places: str) -> Iterator[str]:
    """`places` as PIP_FIND_LINKS has them, each folder replaced by an address that serves it."""
    servers = {place: _server(place) for place in places.split() if place.startswith("/")}
    try:
        yield " ".join(_address(servers[p]) if p in servers else p for p in places.split())
    finally:
        for server in servers.values():
            server.shutdown()
            server.server_close()


def _server(folder: str) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=folder))
    threading.Thread(target=server.serve_forever, name="wheels", daemon=True).start()
    return server


def _address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


class _Files(SimpleHTTPRequestHandler):
    """A folder, in silence."""

    def log_message(self, *_: Any) -> None:
        pass
