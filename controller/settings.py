"""The controller's settings; `cloister controller --help` prints them."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from cloister.logs import Level
from cloister.settings import Settings


class ControllerSettings(Settings):
    """Find a worker for each request and relay its answer."""

    program: ClassVar[str] = "controller"

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on, 0 for a free one")
    join_token: SecretStr | None = Field(
        None, min_length=16, description="what workers must know to join; required"
    )
    accounts_file: Path = Field(
        Path("cloister-accounts.sqlite"),
        description="file of API keys, hashed, and of what they used; made if missing",
    )
    beat_interval_s: float = Field(
        2.0, ge=0.05, le=600, description="seconds between a worker's beats; three missed expire it"
    )
    connect_timeout_s: float = Field(5.0, gt=0, description="seconds to reach a worker")
    first_byte_timeout_s: float = Field(
        600.0, gt=0, description="seconds until the first byte of an answer"
    )
    silence_timeout_s: float = Field(
        120.0, gt=0, description="seconds that a begun answer may pause; workers ping in between"
    )
    log_level: Level = Field("info", description="what is logged; never prompts, answers or keys")
