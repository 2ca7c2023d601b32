"""Settings of every program: a TOML file, then environment variables, then flags; later wins.

A program declares one subclass and loads it; nothing else reads the environment or the file:

    class WorkerSettings(Settings):
        '''Serve a model.'''                      # what --help opens with

        program: ClassVar[str] = "worker"
        port: int = Field(8001, ge=0, le=65535, description="port to listen on")
        join_token: SecretStr | None = Field(None, description="token that the controller knows")

    @command
    def main(argv: Sequence[str]) -> int:
        settings = WorkerSettings.load(argv)

`port` is then `port` in section `[worker]`, the variable `CLOISTER_WORKER_PORT` and the flag
`--port`. Secrets have no flag, since a command line is visible to every process. What is unknown
is an error that names the nearest known one. Built directly, `WorkerSettings(port=1)` looks at
its arguments alone.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cloister.errors import BadModel, BadSettings
from cloister.settings_sources import (
    CONFIG_FILE,
    CONFIG_VARIABLE,
    Parser,
    Program,
    flag,
    from_environment,
    from_file,
    from_flags,
    secrets,
    variable,
)

__all__ = ["CONFIG_VARIABLE", "Settings", "command", "config_path", "flag"]


class Settings(Program):
    """Base of all settings. Frozen: what `load` returns stays valid."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.model_config["env_prefix"] = f"CLOISTER_{cls.program.upper()}_"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone; `load` is what looks around."""
        return (init_settings,)

    @classmethod
    def load(cls, argv: Sequence[str]) -> Self:
        """Read file, environment and `argv`. Raises `BadSettings`; `--help` prints and exits 0."""
        flags = from_flags(cls, argv)  # first, so that --help always helps
        layers = (from_file(cls, config_path(argv)), from_environment(cls), flags)
        values = {name: value for layer in layers for name, value in layer.values.items()}
        origins = {name: layer.origin(name) for layer in layers for name in layer.values}
        try:
            return cls(**values)
        except ValidationError as error:
            raise BadSettings(_explain(cls, error, origins)) from None


def config_path(argv: Sequence[str]) -> Path | None:
    """The settings file that applies: `--config`, else CLOISTER_CONFIG, else ./cloister.toml."""
    parser = Parser(add_help=False)
    parser.add_argument("--config")
    told = parser.parse_known_args(argv)[0].config or os.environ.get(CONFIG_VARIABLE)
    if told:
        return Path(told)
    return CONFIG_FILE if CONFIG_FILE.exists() else None


def command(main: Callable[[Sequence[str]], int]) -> Callable[..., int]:
    """Make `main(argv)` an entry point: `argv` may be left out, a bad start is one line, exit 2."""

    @wraps(main)
    def entry(argv: Sequence[str] | None = None) -> int:
        try:
            return main(sys.argv[1:] if argv is None else argv)
        except (BadSettings, BadModel) as error:
            sys.stderr.write(f"error: {error}\n")
            return 2
        except KeyboardInterrupt:
            return 130

    return entry


def _explain(cls: type[Settings], error: ValidationError, origins: Mapping[str, str]) -> str:
    """All faults, each with field, value, limit and source; a secret's value stays out."""
    return "; ".join(_fault(cls, fault, origins) for fault in error.errors())


def _fault(cls: type[Settings], fault: Any, origins: Mapping[str, str]) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return str(message)
    name = str(fault["loc"][0])
    is_secret = name in secrets(cls)
    if fault["type"] == "missing":
        way = "the settings file" if is_secret else flag(name)
        return f"{name} is required: give {way} or {variable(cls, name)}"
    value = "" if is_secret else f" = {fault['input']!r}"
    return f"{name}{value} ({origins.get(name, 'default')}): {message}"
