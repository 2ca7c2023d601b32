"""Every error that Cloister answers with, and nothing else.

CloisterError
├── BadRequest            400  the caller can mend it: a field, a value, a limit
│   └── ContextExceeded   400  prompt and answer do not fit the model's context
├── Unauthorized          401
├── Forbidden             403  a key that is known, but not for this route
├── NotFound              404
├── DeadlineExceeded      408  the request took longer than this server lets one take
├── TooLarge              413
├── Busy                  429  a queue or limit is full; carries `retry_after_s`
├── InternalError         500  our fault; carries no detail of the request
├── Unavailable           503  no worker, or this one drains
├── BadSettings                a program cannot start as told
└── BadModel                   a model folder cannot be served

Messages name the field, the value and the limit, and never hold prompt text, output or keys.
The wire form is OpenAI's: `{"error": {"message", "type", "param", "code"}}`.
"""

import math
from typing import Any, ClassVar

LONGEST_RETRY_S = 120.0  # OpenAI's SDK gives up when told to wait longer
SHORTEST_RETRY_S = 0.02


class CloisterError(Exception):
    """Root of all errors. `status` is the HTTP status, `kind` OpenAI's `type`."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.default_code

    def body(self) -> dict[str, Any]:
        """The JSON body in OpenAI's shape; all four members are always there."""
        error = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    def headers(self) -> dict[str, str]:
        """Headers that belong to this answer."""
        return {}


class BadRequest(CloisterError):
    status = 400
    kind = "invalid_request_error"


class ContextExceeded(BadRequest):
    default_code = "context_length_exceeded"


class Unauthorized(CloisterError):
    status = 401
    kind = "authentication_error"
    default_code = "invalid_api_key"


class Forbidden(CloisterError):
    status = 403
    kind = "permission_error"
    default_code = "wrong_key"


class NotFound(CloisterError):
    status = 404
    kind = "invalid_request_error"


class DeadlineExceeded(CloisterError):
    """Asking again would take as long again, so clients are told not to."""

    status = 408
    kind = "timeout_error"
    default_code = "deadline_exceeded"

    def headers(self) -> dict[str, str]:
        return {"x-should-retry": "false"}


class TooLarge(CloisterError):
    status = 413
    kind = "invalid_request_error"
    default_code = "request_too_large"


class Busy(CloisterError):
    """Full. The wait is measured; `retry_after_s` has it in whole seconds, 1 to 120."""

    status = 429
    kind = "rate_limit_error"
    default_code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.wait_s = min(LONGEST_RETRY_S, max(SHORTEST_RETRY_S, retry_after_s))
        self.retry_after_s = math.ceil(self.wait_s)

    def headers(self) -> dict[str, str]:
        return retry_headers(self.wait_s)


class InternalError(CloisterError):
    default_code = "internal_error"


class Unavailable(CloisterError):
    status = 503
    default_code = "unavailable"


class BadSettings(CloisterError):
    pass


class BadModel(CloisterError):
    pass


def retry_headers(wait_s: float) -> dict[str, str]:
    """When to ask again: in whole seconds, rounded up, and in milliseconds for SDKs."""
    return {"retry-after": str(math.ceil(wait_s)), "retry-after-ms": str(math.ceil(1000 * wait_s))}
