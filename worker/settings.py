"""The worker's settings; `cloister worker --help` prints them."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

from cloister.serve import GRACE_S
from cloister.settings import Settings


class WorkerSettings(Settings):
    """One model worker."""

    program: ClassVar[str] = "worker"

    model: str = Field(
        "novice", description="A folder, a Hugging Face Hub id, or `novice`, which ships here."
    )
    served_name: str | None = Field(
        None, description="The model's name on the API; by default the last part of --model."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8001, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    controller_url: str | None = Field(
        None, description="Controller to join, such as http://127.0.0.1:8000."
    )
    own_url: str | None = Field(
        None, description="This worker's address as the controller sees it; by default from --host."
    )
    join_token: SecretStr | None = Field(
        None, description="Secret shared with the controller; then only it may send requests."
    )
    tool_format: Literal["auto", "hermes", "llama3_json", "pythonic", "mistral"] = Field(
        "auto", description="How the model writes calls of tools; auto reads its chat template."
    )
    task: Literal["auto", "generate", "embed"] = Field(
        "auto",
        description="What the model is for; auto: embed if made for sentence-transformers.",
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="Type of weights; auto keeps what the files hold."
    )
    weights: Literal["auto", "bf16", "int8", "int4"] = Field(
        "auto",
        description="Matrices in memory: rounded to int8 or int4 when loaded, or bf16; auto keeps "
        "what the files hold, but takes int8 for 100 MiB and more. Norms are of --dtype.",
    )
    kernels: Literal["auto", "native"] = Field(
        "auto",
        description="What computes attention, low-bit weights and masks: auto takes PyTorch, "
        "slowly, where the compiled kernels are missing; native refuses to start then.",
    )
    threads: int = Field(
        0,
        ge=0,
        description="Threads that compute; 0: one for a small model, else one a core.",
    )
    cache_mb: int = Field(512, ge=1, description="Memory of the KV cache, in MiB.")
    cache_pages: int = Field(0, ge=0, description="Pages of the KV cache; 0 follows --cache-mb.")
    kv_cache_dtype: Literal["auto", "bfloat16", "int8"] = Field(
        "auto",
        description="Type of the KV cache; auto: as --dtype. int8 has each head of a token "
        "rounded with a scale of its own: about half of bfloat16's memory.",
    )
    page_size: int = Field(16, ge=1, le=1024, description="Tokens a page.")
    step_tokens: int = Field(512, ge=1, description="Most tokens computed in one step.")
    sequences: int = Field(64, ge=1, description="Most sequences that run at once.")
    draft: str = Field(
        "off",
        description="Where guesses of next tokens come from: `off`, `ngram` (the text so far, "
        "and what a grammar forces), or a smaller model of the same vocabulary (a folder or "
        "Hub id).",
    )
    draft_tokens: int = Field(
        8, ge=1, le=32, description="Most guesses in a step; how many pay is measured."
    )
    queued_requests: int = Field(256, ge=1, description="Most requests that wait.")
    queued_tokens: int = Field(262_144, ge=1, description="Most prompt tokens that wait.")
    ping_s: float = Field(
        15.0, gt=0, description="Seconds of silence after which a stream gets a comment line."
    )
    request_timeout_s: float = Field(
        3600.0, gt=0, description="Most seconds that a request may take, waiting included."
    )
    stop_s: int = Field(
        GRACE_S, ge=0, description="Seconds that running answers may go on after a signal to stop."
    )
    kept_responses: int = Field(
        1024, ge=0, description="Most responses kept for /v1/responses, in memory only; 0: none."
    )
    kept_mb: int = Field(64, ge=1, description="Size of all kept responses, in MiB.")
    kept_s: float = Field(3600.0, gt=0, description="Seconds for which a response is kept.")
    execution: Literal["local", "split"] = Field(
        "local", description="Where linear layers run: here, or split off to --gpu servers."
    )
    gpu: tuple[str, ...] = Field(
        (),
        description="GPU servers for split: tcp://, tls://, zmq:// or grpc://host:port, or "
        "shm://name; the first one works. tls://host:port#sha256=... pins a certificate.",
    )
    tls_ca: Path | None = Field(
        None,
        description="Certificates that vouch for tls:// addresses, a PEM file; else the system's.",
    )
    gpu_token: SecretStr | None = Field(None, description="Secret that the GPU servers ask for.")
    mode: Literal["blind", "plain-int", "plain"] = Field(
        "blind",
        description="What GPU servers see in split: noise (blind), integers, checked but readable "
        "(plain-int), or everything, unchecked (plain).",
    )
    i_trust_the_gpu: bool = Field(
        False, description="Let GPU servers read prompts and answers: plain asks for it."
    )
    masks: str = Field(
        "local",
        pattern=r"^(local|helper:tls://.+)$",
        description="Who multiplies the masks of blind: this worker while idle (local), or a "
        "second machine that works with no GPU server (helper:tls://host:port#sha256=...).",
    )
    masks_token: SecretStr | None = Field(None, description="Secret that the helper asks for.")
    masks_mb: int = Field(512, ge=1, description="Memory of masks made ahead, in MiB.")
    on_empty: Literal["tee", "wait", "reject"] = Field(
        "tee",
        description="With no masks left: compute here, wait for new ones, or fail the request.",
    )
    on_gpu_loss: Literal["tee", "reject"] = Field(
        "tee", description="With no GPU server left: compute here, or fail the request."
    )
    gpu_deadline_s: float = Field(
        10, gt=0, description="Longest wait for one call to a GPU server."
    )
    chunk_rows: int = Field(128, ge=1, le=65536, description="Most rows in one call.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged; never prompts, answers or keys."
    )

    @model_validator(mode="after")
    def _split_has_a_gpu(self) -> Self:
        if self.execution == "local":
            if self.gpu:
                raise ValueError("gpu is for split execution: give --execution split too")
        elif not self.gpu:
            raise ValueError("execution = 'split' needs gpu, such as tcp://127.0.0.1:50051")
        elif self.mode == "plain" and not self.i_trust_the_gpu:
            raise ValueError(
                "mode = 'plain' shows prompts and answers to the GPU's host: "
                "give --i-trust-the-gpu, or use blind"
            )
        if self.masks != "local" and (self.execution, self.mode) != ("split", "blind"):
            raise ValueError("masks = 'helper:...' is for --execution split --mode blind")
        return self

    @model_validator(mode="after")
    def _low_bits_run_here(self) -> Self:
        if self.weights in ("int8", "int4") and self.execution != "local":
            raise ValueError(f"weights = {self.weights!r} is for local execution; use bf16 or auto")
        if self.weights == "bf16" and self.dtype == "float32":
            raise ValueError("weights = 'bf16' contradicts dtype = 'float32'")
        return self

    @model_validator(mode="after")
    def _each_sequence_has_a_row(self) -> Self:
        if self.step_tokens < self.sequences:
            raise ValueError(
                f"step_tokens = {self.step_tokens} must be at least sequences = {self.sequences}: "
                "each running sequence needs a token a step"
            )
        return self
