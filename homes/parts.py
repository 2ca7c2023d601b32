"""What the image of each part of Cloister holds: packages, and of those what is needed.

What is left out is named here; that the rest is enough, the jail's tests show.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

MOST_FILES = 5000
"""More than this many make the start of a home slow (docs/homes.md)."""

KEPT = (".py", ".so", ".json", ".safetensors", ".pem", ".jinja")
"""Endings of the files that are taken. A library may have a version behind `.so`."""

PartName = Literal["worker", "webui", "both"]


@dataclass(frozen=True, slots=True)
class Part:
    """`packages` are distributions, `ours` packages of this checkout.

    The others are patterns of files: those left out, those taken all the same, and modules that
    keep their source, since they read it when they are imported. `kept` are endings, `compiled` our
    own libraries, without which there is no image.
    """

    packages: tuple[str, ...]
    ours: tuple[str, ...]
    unneeded: tuple[str, ...]
    needed: tuple[str, ...] = ("*.dist-info/METADATA",)
    with_source: tuple[str, ...] = ()
    kept: tuple[str, ...] = KEPT
    compiled: tuple[str, ...] = ()
    most_files: int = MOST_FILES


LIBRARY = Part(
    packages=(),
    ours=(),
    unneeded=(
        *("test/*", "idlelib/*", "tkinter/*", "turtledemo/*", "lib2to3/*", "ensurepip/*"),
        *("site-packages/*", "dist-packages/*", "config-*", "pydoc_data/*", "curses/*", "venv/*"),
        *("distutils/*", "msilib/*", "lib-dynload/_test*", "lib-dynload/_tkinter*", "turtle.py"),
        *("lib-dynload/readline*", "lib-dynload/_sqlite3*", "lib-dynload/nis*", "sqlite3/*"),
        *("lib-dynload/_gdbm*", "lib-dynload/_dbm*", "lib-dynload/_crypt*", "lib-dynload/xx*"),
        "lib-dynload/_curses*",
    ),
)
"""Python's standard library, for every part."""

SERVER = (
    *("annotated-doc", "annotated-types", "anyio", "certifi", "click", "fastapi", "h11"),
    *("httpcore", "httptools", "httpx", "idna", "jinja2", "markupsafe", "numpy"),
    *("opentelemetry-api", "pydantic", "pydantic-core", "pydantic-settings", "python-dotenv"),
    *("starlette", "typing-extensions", "typing-inspection", "uvicorn"),
)
NUMPY_UNNEEDED = ("numpy/f2py/*", "numpy/*/tests/*", "numpy/tests/*")

WORKER = Part(
    packages=(
        *SERVER,
        *("cffi", "cryptography", "llguidance", "prometheus-client", "tokenizers", "torch"),
    ),
    ours=("cloister", "worker"),
    unneeded=(
        *("torch/bin/*", "torch/include/*", "torch/share/*", "torch/test/*", "torch/onnx/*"),
        *("torch/_inductor/*", "torch/_dynamo/*", "torch/distributed/pipelining/*"),
        *("torch/lib/libtorchbind_test.so", "torch/lib/libjitbackend_test.so"),
        *("torch/lib/libbackend_with_compiler.so", "torch/lib/libaoti_custom_ops.so"),
        *("torch/testing/_internal/*", "torch/utils/tensorboard/*", "torch/utils/benchmark/*"),
        *("functorch/*", "torchgen/packaged/*", *NUMPY_UNNEEDED),
        *("worker/novice/corpus/*", "worker/novice/items/*"),
    ),
    needed=(
        *("*.dist-info/METADATA", "torch/bin/torch_shm_manager"),
        *("torch/testing/_internal/__init__.py", "torch/testing/_internal/logging_tensor.py"),
        "torch/testing/_internal/common_dtype.py",
    ),
    with_source=(
        *("torch/*config.py", "torch/functional.py", "torch/nn/functional.py", "*/rnn.py"),
    ),
    compiled=("worker/kernels/libcloister_kernels.so",),
)
"""torch and tokenizers ask for more than they then use, and torch looks for files that nothing here
uses."""

WEBUI = Part(
    packages=(
        *SERVER,
        *("brotli", "filelock", "fsspec", "gradio", "gradio-client", "groovy", "hf-gradio"),
        *("httpcore2", "httpx2", "huggingface-hub", "orjson", "packaging", "pandas", "pillow"),
        *("pydub", "pygments", "python-dateutil", "python-multipart", "pytz", "pyyaml", "rich"),
        *("safehttpx", "semantic-version", "shellingham", "tomlkit", "tqdm"),
        *("truststore", "typer"),
    ),
    ours=("cloister", "webui"),
    unneeded=(
        *("gradio/templates/node/*", "gradio/test_data/*", "gradio/media_assets/*"),
        *("pandas/tests/*", "pytz/zoneinfo/*", *NUMPY_UNNEEDED),
    ),
    with_source=("gradio/*", "webui/*"),
    kept=(*KEPT, ".js", ".css", ".html", ".svg", ".woff2", ".txt", ".png", ".wasm"),
)
"""Gradio imports more than the page uses, and reads the sources of its components. Its compressed
copies of files are not taken."""

BOTH = Part(
    packages=tuple(dict.fromkeys((*WORKER.packages, *WEBUI.packages))),
    ours=("cloister", "worker", "webui"),
    unneeded=(*WORKER.unneeded, *WEBUI.unneeded),
    needed=WORKER.needed,
    with_source=(*WORKER.with_source, *WEBUI.with_source),
    kept=WEBUI.kept,
    compiled=WORKER.compiled,
    most_files=2 * MOST_FILES,
)
"""Worker and page in one enclave, for demonstrations."""

PARTS: Mapping[PartName, Part] = MappingProxyType({"worker": WORKER, "webui": WEBUI, "both": BOTH})
