"""Requests made up from an OpenAPI document by schemathesis, and what every answer must be."""

import os
from collections.abc import Iterator, Mapping

import hypothesis
import schemathesis
from hypothesis import strategies
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.errors import InvalidSchema
from schemathesis.schemas import APIOperation

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))
"""For each route and kind of request; `make fuzz` takes more."""

load_all_checks()
CHECKED = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "ignored_auth",
    ]
)
SLOW = list(hypothesis.HealthCheck)
LIMITS = hypothesis.settings(
    max_examples=EXAMPLES, derandomize=True, suppress_health_check=SLOW, phases=["generate"]
)


def operations(url: str, headers: Mapping[str, str]) -> Iterator[APIOperation]:
    """Every route of the document at `url`."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=dict(headers))
    for found in schema.get_all_operations():
        yield found.ok()


def examine(operation: APIOperation, model: str, headers: Mapping[str, str]) -> None:
    """Requests as the document allows and as it does not; bodies name `model`."""
    _examine(operation, GenerationMode.POSITIVE, model, headers)
    if operation.body:  # there is something that can be wrong
        _examine(operation, GenerationMode.NEGATIVE, model, headers)


def _examine(
    operation: APIOperation, mode: GenerationMode, model: str, headers: Mapping[str, str]
) -> None:
    cases = operation.as_strategy(generation_mode=mode)

    @LIMITS
    @hypothesis.given(data=strategies.data())
    def every_answer_is_as_documented(data: strategies.DataObject) -> None:
        case = _drawn(data, cases, mode)
        if isinstance(case.body, dict) and "model" in case.body:
            case.body["model"] = model
        case.call_and_validate(headers=dict(headers), checks=CHECKED, timeout=60)

    every_answer_is_as_documented()


def _drawn(
    data: strategies.DataObject, cases: strategies.SearchStrategy[Case], mode: GenerationMode
) -> Case:
    """A request. The generator gives up on some arrays that are to be wrong: then another one.

    Where it gives up on all, hypothesis fails; so does a document that allows no request.
    """
    try:
        return data.draw(cases)
    except InvalidSchema:
        if mode is GenerationMode.POSITIVE:
            raise
        hypothesis.reject()
