"""The peers: what each needs, how the model becomes its own, how it runs and how it serves."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks._peers.environment import Environment
from benchmarks._peers.protocol import CONTEXT_TOKENS, SEQUENCES

RUN = ("{python}", "-P", "-m")
LLAMA_SOURCE = "{folder}/source/llama_cpp_python-0.3.36"


@dataclass(frozen=True)
class Peer:
    """One column of figures. Commands have words in braces, which are filled in.

    `python` and `folder` are those of its environment, `checkpoint` the Hugging Face folder,
    `model` what `convert` made of it in a file or folder of the name `converted`; a place to write
    to is added behind `convert`. `server` also knows `threads` and `port`. `ours` marks the peer
    that takes the options of a worker. No environment: it runs where the benchmark runs.
    """

    name: str
    runner: tuple[str, ...]
    environment: Environment | None = None
    convert: tuple[str, ...] = ()
    converted: str = ""
    server: tuple[str, ...] = ()
    ours: bool = False


LLAMA_CPP = Environment(
    "llama.cpp",
    ("numpy==2.4.6", "gguf==0.19.0"),
    (
        (
            *("{python}", "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--no-binary", "llama-cpp-python", "llama-cpp-python==0.3.36"),
            *("--dest", "{folder}/source"),
        ),
        ("tar", "-xzf", f"{LLAMA_SOURCE}.tar.gz", "-C", "{folder}/source", "--skip-old-files"),
        (
            *("cmake", "-S", f"{LLAMA_SOURCE}/vendor/llama.cpp", "-B", "{folder}/build"),
            *("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DGGML_NATIVE=ON"),
            *("-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF"),
            *("-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF"),
        ),
        ("cmake", "--build", "{folder}/build", "--target", "llama-server", "-j", "{jobs}"),
        (
            *("env", "CMAKE_ARGS=-DLLAMA_BUILD=OFF -DLLAVA_BUILD=OFF"),
            *("{python}", "-m", "pip", "install", "--quiet", LLAMA_SOURCE),
        ),
    ),
)
"""The bindings use the very libraries of the server, which are compiled once for this machine."""

OPENVINO = Environment(
    "openvino",
    (
        "openvino-genai==2026.4.1.0",
        "openvino-tokenizers==2026.4.1.0",
        "openvino==2026.4.1",
        "optimum-intel==2.2.0",
        "nncf==3.4.0",
        "transformers==5.5.4",
        "torch==2.13.0",
    ),
    # torchvision comes with optimum, is not needed, and may be built for another torch
    (("{python}", "-m", "pip", "uninstall", "--quiet", "--yes", "torchvision"),),
)
"""torch and what follows optimum-intel are for the conversion alone."""

TRANSFORMERS = Environment("transformers", ("transformers==5.23.0", "torch==2.13.0"))


def _llama_cpp(name: str, kind: str) -> Peer:
    bindings = ("env", "LLAMA_CPP_LIB_PATH={folder}/build/bin", *RUN)
    return Peer(
        name,
        runner=(*bindings, "benchmarks._peers.run_llama_cpp"),
        environment=LLAMA_CPP,
        convert=(*bindings, "benchmarks._peers.convert_llama_cpp", kind, "{checkpoint}"),
        converted=f"llama-{kind}.gguf",
        server=(
            *("{folder}/build/bin/llama-server", "--model", "{model}"),
            *("--load-mode", "none"),
            *("--parallel", str(SEQUENCES), "--ctx-size", str(CONTEXT_TOKENS)),
            *("--threads", "{threads}", "--cache-ram", "0"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
    )


US = Peer(
    "us",
    runner=(sys.executable, "-P", "-m", "benchmarks._peers.run_us"),
    server=(
        *(sys.executable, "-P", "-m", "worker", "--model", "{model}", "--threads", "{threads}"),
        *("--port", "{port}", "--cache-pages", str(CONTEXT_TOKENS // 16)),
        *("--sequences", str(SEQUENCES)),
    ),
    ours=True,
)

PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        peer.name: peer
        for peer in (
            US,
            _llama_cpp("llama.cpp", "q4_0"),
            _llama_cpp("llama.cpp-q8", "q8_0"),
            Peer(
                "openvino",
                runner=(*RUN, "benchmarks._peers.run_openvino"),
                environment=OPENVINO,
                convert=(
                    *("{folder}/venv/bin/optimum-cli", "export", "openvino"),
                    *("--model", "{checkpoint}", "--task", "text-generation-with-past"),
                    *("--weight-format", "int4", "--group-size", "64", "--ratio", "1.0"),
                ),
                converted="openvino-int4",
                server=(
                    *(*RUN, "benchmarks._peers.serve_openvino", "{model}", "{checkpoint}"),
                    *("{threads}", "{port}"),
                ),
            ),
            Peer(
                "transformers",
                runner=(*RUN, "benchmarks._peers.run_transformers"),
                environment=TRANSFORMERS,
            ),
        )
    }
)
