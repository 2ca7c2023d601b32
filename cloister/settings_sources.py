"""The three places that settings come from, each as a layer of values and what they are called.

Which layer wins, and what the values must be, is `cloister.settings`.
"""

import difflib
import os
import tomllib
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn, get_args

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliSettingsSource, EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from cloister.errors import BadSettings

PROGRAMS = ("up", "controller", "worker", "gpu", "masks", "webui", "chat", "conform")
"""The sections that a file may hold, and the programs that own `CLOISTER_<PROGRAM>_*`."""

CONFIG_VARIABLE = "CLOISTER_CONFIG"
CONFIG_FILE = Path("cloister.toml")


class Program(BaseSettings):
    """Settings that know their program; `cloister.settings.Settings` is what to derive from."""

    program: ClassVar[str]


class Layer:
    """Values of one source by field name, and how that source calls a field."""

    def __init__(self, values: Mapping[str, Any], origin: Callable[[str], str]) -> None:
        self.values = values
        self.origin = origin


class Parser(ArgumentParser):
    """argparse that raises instead of leaving, and takes no shortened flags."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        raise BadSettings(message)


def from_file(cls: type[Program], path: Path | None) -> Layer:
    """The program's section of the file at `path`; nothing where there is no file."""
    content = _read(path) if path else {}
    for section in content:
        if section not in PROGRAMS:
            raise BadSettings(f"{path}: unknown section [{section}]{nearest(section, PROGRAMS)}")
    values = content.get(cls.program, {})
    if not isinstance(values, dict):
        raise BadSettings(f"{path}: {cls.program} must be a section, [{cls.program}]")
    for key in values:
        if key not in cls.model_fields:
            hint = nearest(key, cls.model_fields)
            raise BadSettings(f"{path}: unknown key {key} in [{cls.program}]{hint}")
    return Layer(values, lambda name: f"{path}, [{cls.program}] {name}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"settings file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"settings file {path} is not TOML: {error}") from None


def from_environment(cls: type[Program]) -> Layer:
    """The program's variables; one that no program owns is an error too."""
    prefixes = tuple(f"CLOISTER_{program.upper()}_" for program in PROGRAMS)
    known = [variable(cls, name) for name in cls.model_fields]
    for name in map(str.upper, os.environ):
        ours = name.startswith(variable(cls, ""))
        stray = name.startswith("CLOISTER_") and not name.startswith(prefixes)
        if (ours and name not in known) or (stray and name != CONFIG_VARIABLE):
            hint = nearest(name, [*known, CONFIG_VARIABLE])
            raise BadSettings(f"unknown environment variable {name}{hint}")
    source = _Environment(cls, env_ignore_empty=True)
    return Layer(_values(source), partial(variable, cls))


def from_flags(cls: type[Program], argv: Sequence[str]) -> Layer:
    """The flags in `argv`; `--help` prints all there are and exits 0."""
    parser = Parser(prog=f"cloister {cls.program}", description=cls.__doc__, epilog=_epilog(cls))
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"settings file (default: {CONFIG_FILE}) [env: {CONFIG_VARIABLE}]",
    )
    source = CliSettingsSource[Any](
        cls,
        root_parser=parser,
        cli_implicit_flags=True,
        cli_kebab_case=True,
        cli_show_env_vars=True,
        cli_hide_none_type=True,
        cli_parse_none_str="none",
        add_argument_method=partial(_add_argument, secrets(cls)),
        parse_args_method=partial(_parse, cls),
    )
    source(args=list(argv))
    return Layer(_values(source), flag)


def _add_argument(secrets: Sequence[str], parser: Any, *names: str, **options: Any) -> None:
    if options.get("dest") not in secrets:
        parser.add_argument(*names, **options)


def _parse(cls: type[Program], parser: ArgumentParser, argv: Sequence[str]) -> Namespace:
    known, unknown = parser.parse_known_args(argv)
    if unknown:
        word = unknown[0].partition("=")[0]
        raise BadSettings(_unknown_flag(cls, word))
    del known.config
    return known


def _unknown_flag(cls: type[Program], word: str) -> str:
    for secret in secrets(cls):
        if word == flag(secret):
            where = f"{variable(cls, secret)} or the settings file"
            return f"{word} is a secret, which every process could read here; use {where}"
    flags = [flag(name) for name in cls.model_fields if name not in secrets(cls)]
    kind = "flag" if word.startswith("-") else "argument"
    return f"unknown {kind} {word}{nearest(word, [*flags, '--config', '--help'])}"


def _values(source: EnvSettingsSource) -> dict[str, Any]:
    try:
        return source()
    except SettingsError as error:
        raise BadSettings(str(error)) from None


def _epilog(cls: type[Program]) -> str | None:
    lines = [
        f"  {name}: {cls.model_fields[name].description} [env: {variable(cls, name)}]"
        for name in secrets(cls)
    ]
    return "\n".join(["secrets, by file or environment only:", *lines]) if lines else None


class _Environment(EnvSettingsSource):
    """Variables, where a list may be JSON or words parted by commas."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        if isinstance(value, str) and not value.lstrip().startswith(("[", "{")):
            return [word.strip() for word in value.split(",") if word.strip()]
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            name = f"{self.env_prefix}{field_name}".upper()
            raise BadSettings(f"{field_name} ({name}) is not JSON: {error}") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for an unknown word: "; did you mean port?", or nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def secrets(cls: type[Program]) -> list[str]:
    """Names of the fields that no flag, message or repr may show."""
    return [name for name, field in cls.model_fields.items() if _is_secret(field.annotation)]


def _is_secret(annotation: Any) -> bool:
    return annotation in (SecretStr, SecretBytes) or any(map(_is_secret, get_args(annotation)))


def variable(cls: type[Program], name: str) -> str:
    """The environment variable of a field."""
    return f"CLOISTER_{cls.program}_{name}".upper()


def flag(name: str) -> str:
    """The flag of a field."""
    return "--" + name.replace("_", "-")
