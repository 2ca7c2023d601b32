"""The settings panel: system prompt and sampling, and what their values ask of a model.

What stands at its neutral value is not sent, so that servers which know less are served as well.
"""

from typing import Any

import gradio as gr
from gradio.components import Component

from cloister.client import Options

TEMPERATURE = 0.3


class Controls:
    """Lays the panel out where it is built; `wish` reads the values of its `parts`."""

    def __init__(self) -> None:
        gr.Markdown("Settings", elem_id="heading")
        system = gr.Textbox(
            label="System prompt",
            placeholder="How the model should answer, e.g. “Answer briefly.”",
            lines=3,
            max_lines=10,
            elem_id="system",
        )
        temperature = _slider("Temperature", 0, 2, TEMPERATURE, "0 always takes the likeliest word")
        max_tokens = _number("Longest answer, in tokens", "0 is as long as fits")
        with gr.Accordion("More sampling", open=False):
            self.parts: tuple[Component, ...] = (
                system,
                temperature,
                max_tokens,
                _slider("Top p", 0.05, 1, 1, "1 is off"),
                _number("Top k", "0 is off"),
                _slider("Presence penalty", -2, 2, 0, "0 is off"),
                _slider("Frequency penalty", -2, 2, 0, "0 is off"),
                _number("Seed", "equal seeds give equal answers; 0 is none"),
            )
        gr.Button("Light or dark", elem_id="shade", size="sm")


def wish(values: tuple[Any, ...]) -> tuple[str, Options]:
    """System prompt and options, from the values of `Controls.parts` in their order."""
    system, temperature, max_tokens, top_p, top_k, presence, frequency, seed = values
    options = Options(
        temperature=temperature,
        max_tokens=_unless(0, max_tokens),
        top_p=_unless(1, top_p),
        top_k=_unless(0, top_k),
        presence_penalty=_unless(0, presence),
        frequency_penalty=_unless(0, frequency),
        seed=_unless(0, seed),
    )
    return system or "", options


def _unless(neutral: float, value: Any) -> Any:
    return None if value == neutral else value


def _slider(label: str, low: float, high: float, value: float, info: str) -> gr.Slider:
    return gr.Slider(low, high, value, step=0.05, label=label, info=info, buttons=[])


def _number(label: str, info: str) -> gr.Number:
    return gr.Number(0, label=label, info=info, precision=0, minimum=0)
