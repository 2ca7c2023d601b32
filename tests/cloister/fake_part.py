"""A stand-in for a part: listens, answers 200 everywhere, and does as its words say.

python fake_part.py PORT [die STATUS] [stubborn] [child FILE]
"""

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

MODELS = {"object": "list", "data": [{"id": "fake-model", "object": "model"}]}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(MODELS).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


def main(port: int, *words: str) -> None:
    sys.stderr.write(f"fake part of pid {os.getpid()} at {port}\n")
    if "die" in words:
        sys.stderr.write("this is why\n")
        sys.exit(int(words[words.index("die") + 1]))
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "child" in words:
        sleeper = subprocess.Popen(["sleep", "600"])
        Path(words[words.index("child") + 1]).write_text(str(sleeper.pid))
    with contextlib.suppress(KeyboardInterrupt):
        http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
