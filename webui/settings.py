"""Settings of the chat page."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from cloister.client import base_url
from cloister.settings import Settings


class PageSettings(Settings):
    """Serve the chat page, in front of any OpenAI address."""

    program: ClassVar[str] = "webui"
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(7860, ge=0, le=65535, description="port to listen on, 0 for a free one")
    api_url: Annotated[str, AfterValidator(base_url)] = Field(
        "http://127.0.0.1:8000/v1", description="OpenAI address that answers"
    )
    api_key: SecretStr = Field(SecretStr(""), description="key for that address, if it wants one")
    title: str = Field("Cloister", min_length=1, description="name at the top of the page")
