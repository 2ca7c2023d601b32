"""What all wire types share."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Asked(BaseModel):
    """Something a client sends: exact types, and no member that we do not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Answered(BaseModel):
    """Something we answer."""

    model_config = ConfigDict(frozen=True)


class Error(Answered):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Answered):
    """The body of every answer that is no success."""

    error: Error


class PromptTokensDetails(Answered):
    cached_tokens: int


class Usage(Answered):
    """`prompt_tokens` counts cached ones too."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


STOP_STRINGS = 16
STOP_LENGTH = 256

StopString = Annotated[str, Field(min_length=1, max_length=STOP_LENGTH)]
StopStrings = Annotated[list[StopString], Field(fail_fast=True, max_length=STOP_STRINGS)]
TokenId = Annotated[int, Field(ge=0)]

CHOICES = 16
BIASES = 1024
SALT_LENGTH = 256

Count = Annotated[int, Field(ge=1, le=CHOICES)]
Bias = Annotated[float, Field(ge=-100, le=100)]


MetadataName = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[MetadataName, MetadataValue], Field(max_length=16)]


class StreamOptions(Asked):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


Choice = Annotated[str, Field(min_length=1, max_length=4096)]


class StructuredOutputs(Asked):
    """What form the answer must have: exactly one member is given."""

    json_: dict[str, Any] | bool | None = Field(None, alias="json")
    regex: str | None = None
    choice: Annotated[list[Choice], Field(fail_fast=True, min_length=1, max_length=1024)] | None = (
        None
    )
    grammar: str | None = None


class Sampled(Asked):
    """The members that all routes share that generate. `None` is the same as leaving one out."""

    model: str
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: StopString | StopStrings | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=BIASES)] | None = None
    user: str | None = None

    # Extensions that open servers agree on.
    structured_outputs: StructuredOutputs | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = None
    stop_token_ids: (
        Annotated[list[TokenId], Field(fail_fast=True, max_length=STOP_STRINGS)] | None
    ) = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=SALT_LENGTH)] | None = None


class Generation(Sampled):
    """The members that chat and completions share."""

    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Count | None = None
