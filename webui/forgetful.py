"""Gradio's page without a memory.

Gradio keeps what the parts of each session hold until an hour after its tab is closed; it fetches
files that values name, and stores them; and where it checks values, its errors quote them. Here
values pass as they are: handlers check what they take, and give what the browser shows.
"""

from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components import _Keywords


class Forgetful(gr.Blocks):  # type: ignore[misc]  # Gradio has no types for mypy here
    """Blocks whose values are seen by its handlers and by nobody else."""

    async def preprocess_data(
        self,
        block_fn: BlockFunction,  # noqa: ARG002
        inputs: list[Any],
        state: Any,  # noqa: ARG002
        explicit_call: bool = False,  # noqa: ARG002
    ) -> list[Any]:
        """What a handler takes: what the browser sent."""
        return list(inputs)

    async def postprocess_data(
        self,
        block_fn: BlockFunction,
        predictions: Any,
        state: Any,  # noqa: ARG002
    ) -> list[Any]:
        """What the browser gets, one for each output: what the handler gave."""
        values = [predictions] if len(block_fn.outputs) == 1 else predictions or []
        return [None if value is _Keywords.FINISHED_ITERATING else value for value in values]
