"""The GPU server's settings; `cloister gpu --help` prints them."""

import re
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

from cloister.settings import Settings


class GpuSettings(Settings):
    """Compute linear layers for workers whose prompts this machine must not see."""

    program: ClassVar[str] = "gpu"

    model: str = Field(
        "novice", description="The workers' --model: a folder, a Hugging Face Hub id, or `novice`."
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="The workers' --dtype."
    )
    weights: Literal["int8", "float"] = Field(
        "int8", description="int8 for modes blind and plain-int, float for plain."
    )
    device: str = Field("cpu", description="Where to compute: cpu, cuda or cuda:N.")
    listen: str = Field(
        "tcp://127.0.0.1:50051",
        description="Where to listen: tcp://, tls://, zmq:// or grpc://host:port, or shm://name on "
        "the workers' own machine; port 0: any.",
    )
    tls_cert: Path | None = Field(None, description="Certificate chain for tls://, a PEM file.")
    tls_key: Path | None = Field(None, description="Its key, a PEM file.")
    token: SecretStr | None = Field(
        None, description="Secret shared with the workers; required beyond loopback."
    )
    threads: int = Field(0, ge=0, description="Threads of the tensor operators; 0: all cores.")
    rows: int = Field(128, ge=1, le=65536, description="Most rows of one call.")
    connections: int = Field(16, ge=1, le=1024, description="Most workers at once.")
    memory_mb: int = Field(512, ge=1, description="Memory of all calls in flight, in MiB.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged."
    )

    @model_validator(mode="after")
    def _device_is_known(self) -> Self:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device = {self.device!r} must be cpu, cuda or cuda:N")
        return self

    @model_validator(mode="after")
    def _certificate_is_for_tls(self) -> Self:
        given = (self.tls_cert is not None, self.tls_key is not None)
        if given != (self.listen.startswith("tls://"),) * 2:
            raise ValueError("tls_cert and tls_key are for listen = 'tls://...', which needs both")
        return self


class MasksSettings(GpuSettings):
    """Multiply masks for workers; in other hands than their GPU servers."""

    program: ClassVar[str] = "masks"

    weights: Literal["int8"] = Field("int8", description="Masks are integers.")
    listen: str = Field(
        "tls://127.0.0.1:50052",
        pattern="^tls://",
        description="Where to listen: tls://host:port; port 0: any.",
    )
