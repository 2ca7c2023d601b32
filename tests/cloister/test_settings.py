"""Settings: file, then environment, then flags; what is unknown is an error."""

from pathlib import Path
from typing import ClassVar, Literal, Self

import pytest
from pydantic import Field, SecretStr, model_validator

from cloister.errors import BadModel, BadSettings
from cloister.settings import Settings, command, config_path


class ProbeSettings(Settings):
    """A program of tests."""

    program: ClassVar[str] = "worker"
    port: int = Field(8001, ge=0, le=65535, description="port to listen on")
    log_level: Literal["info", "debug"] = Field(
        "info", description="how much is said, 100% or less"
    )
    names: list[str] = Field(default_factory=list, description="served names")
    page: bool = Field(True, description="serve a page")
    budget: float | None = Field(None, description="gigabytes")
    join_token: SecretStr | None = Field(None, min_length=4, description="shared token")

    @model_validator(mode="after")
    def _debug_needs_a_port(self) -> Self:
        if self.log_level == "debug" and self.port == 0:
            raise ValueError("debug needs a port")
        return self


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CLOISTER_CONFIG", "CLOISTER_WORKER_PORT", "CLOISTER_WORKER_JOIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def fault(*argv: str) -> str:
    with pytest.raises(BadSettings) as caught:
        ProbeSettings.load(argv)
    return caught.value.message


def test_defaults_hold_where_nothing_is_told() -> None:
    assert ProbeSettings.load([]) == ProbeSettings()


def test_flags_win_over_environment_over_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cloister.toml").write_text('[worker]\nport = 1\nnames = ["f"]\nbudget = 3\n')
    monkeypatch.setenv("CLOISTER_WORKER_PORT", "2")
    monkeypatch.setenv("CLOISTER_WORKER_NAMES", "e, g")
    settings = ProbeSettings.load(["--port", "3"])
    assert (settings.port, settings.names, settings.budget) == (3, ["e", "g"], 3.0)


def test_config_flag_wins_over_variable_over_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number, name in enumerate(("cloister.toml", "variable.toml", "flag.toml")):
        (tmp_path / name).write_text(f"[worker]\nport = {number}\n")
    assert ProbeSettings.load([]).port == 0
    monkeypatch.setenv("CLOISTER_CONFIG", "variable.toml")
    assert ProbeSettings.load([]).port == 1
    assert ProbeSettings.load(["--config", "flag.toml"]).port == 2
    assert config_path(["--config=flag.toml"]) == Path("flag.toml")


def test_built_directly_it_sees_its_arguments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_WORKER_PORT", "2")
    assert ProbeSettings(budget=1).port == 8001


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--names", "a", "--names", "b"], ["a", "b"]),
        (["--names", "a,b"], ["a", "b"]),
        (["--names", '["a", "b"]'], ["a", "b"]),
        (["--names", "[]"], []),
    ],
)
def test_lists_may_be_repeated_or_joined(argv: list[str], names: list[str]) -> None:
    assert ProbeSettings.load(argv).names == names


def test_booleans_have_two_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ProbeSettings.load(["--no-page"]).page
    monkeypatch.setenv("CLOISTER_WORKER_PAGE", "false")
    assert not ProbeSettings.load([]).page
    assert ProbeSettings.load(["--page"]).page


def test_none_can_be_told() -> None:
    assert ProbeSettings.load(["--budget", "none"]).budget is None


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_WORKER_PORT", "")
    assert ProbeSettings.load([]).port == 8001


def test_unknown_flag_names_the_nearest() -> None:
    assert fault("--prot", "3") == "unknown flag --prot; did you mean --port?"
    assert fault("--prot=3") == "unknown flag --prot; did you mean --port?"
    assert fault("stray") == "unknown argument stray"


def test_flags_cannot_be_shortened() -> None:
    assert "unknown flag --log" in fault("--log", "debug")


def test_unknown_variable_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_WORKER_PRT", "3")
    assert fault() == (
        "unknown environment variable CLOISTER_WORKER_PRT; did you mean CLOISTER_WORKER_PORT?"
    )


def test_variable_of_no_program_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_WROKER_PORT", "3")
    assert "did you mean CLOISTER_WORKER_PORT?" in fault()


def test_variables_and_sections_of_other_programs_are_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLOISTER_CONTROLLER_ANYTHING", "3")
    (tmp_path / "cloister.toml").write_text("[controller]\nanything = 1\n")
    assert ProbeSettings.load([]) == ProbeSettings()


def test_unknown_section_and_key_name_file_and_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[wroker]\nport = 1\n")
    (tmp_path / "b.toml").write_text("[worker]\nprot = 1\n")
    (tmp_path / "c.toml").write_text("port = 1\n")
    assert fault("--config", "a.toml") == "a.toml: unknown section [wroker]; did you mean worker?"
    assert fault("--config", "b.toml") == (
        "b.toml: unknown key prot in [worker]; did you mean port?"
    )
    assert "c.toml: unknown section [port]" in fault("--config", "c.toml")


def test_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("[worker\n")
    assert fault("--config", "none.toml") == "settings file none.toml: No such file or directory"
    assert "settings file broken.toml is not TOML" in fault("--config", "broken.toml")


def test_bad_value_names_field_value_source_and_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert fault("--port", "70000") == (
        "port = '70000' (--port): Input should be less than or equal to 65535"
    )
    monkeypatch.setenv("CLOISTER_WORKER_PORT", "-1")
    assert fault().startswith("port = '-1' (CLOISTER_WORKER_PORT): ")
    monkeypatch.delenv("CLOISTER_WORKER_PORT")
    (tmp_path / "cloister.toml").write_text('[worker]\nlog_level = "loud"\n')
    assert fault() == (
        "log_level = 'loud' (cloister.toml, [worker] log_level): Input should be 'info' or 'debug'"
    )


def test_list_that_is_not_json_names_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_WORKER_NAMES", '["a",')
    assert "names (CLOISTER_WORKER_NAMES)" in fault()


def test_all_faults_are_told_at_once() -> None:
    message = fault("--port", "x", "--log-level", "y")
    assert "port" in message
    assert "log_level" in message


def test_rule_across_fields_is_told_in_its_own_words() -> None:
    assert fault("--log-level", "debug", "--port", "0") == "debug needs a port"


def test_secret_is_no_flag_and_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    told = fault("--join-token", "hunter2hunter2")
    assert "CLOISTER_WORKER_JOIN_TOKEN" in told
    monkeypatch.setenv("CLOISTER_WORKER_JOIN_TOKEN", "qqq")
    short = fault("--log-level", "debug", "--port", "0")
    assert "join_token (CLOISTER_WORKER_JOIN_TOKEN)" in short
    assert "hunter2" not in told
    assert "qqq" not in short


def test_secret_stays_out_of_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_WORKER_JOIN_TOKEN", "hunter2")
    settings = ProbeSettings.load([])
    assert settings.join_token is not None
    assert settings.join_token.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


def test_help_tells_flag_default_and_variable_of_every_field(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        ProbeSettings.load(["--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    assert "A program of tests." in text
    assert "port to listen on (default: 8001) [env: CLOISTER_WORKER_PORT]" in text
    assert "--page, --no-page" in text
    assert "100% or less" in text
    assert "--join-token" not in text
    assert "join_token: shared token [env: CLOISTER_WORKER_JOIN_TOKEN]" in text
    for name in ProbeSettings.model_fields:
        assert f"CLOISTER_WORKER_{name.upper()}" in text


@pytest.mark.parametrize("error", [BadSettings("no such thing"), BadModel("no such thing")])
def test_command_tells_a_bad_start_in_one_line(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    @command
    def main(argv: object) -> int:
        raise error

    assert main([]) == 2
    assert capsys.readouterr().err == "error: no such thing\n"


def test_command_takes_words_or_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    @command
    def main(argv: list[str]) -> int:
        return len(argv)

    monkeypatch.setattr("sys.argv", ["program", "a", "b"])
    assert main() == 2
    assert main(["a"]) == 1
