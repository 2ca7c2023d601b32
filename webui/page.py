"""The page: which parts it has, where they stand, and which handler each event calls."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from webui.controls import Controls
from webui.forgetful import Forgetful
from webui.parts import brand, greeting, line
from webui.talk import Talk

EXAMPLES = (
    "What is Cloister?",
    "What is 27 + 48?",
    "Spell garden",
    "Tell me a short story about a fox",
)


class Page:
    """`blocks` is the Gradio page; its events call `talk`."""

    def __init__(self, title: str, talk: Talk) -> None:
        self.blocks = Forgetful(title=title, fill_height=True, analytics_enabled=False)
        with self.blocks:
            self._top(title)
            self._chat = _chat(title)
            self._input = _input()
            with gr.Sidebar(position="right", open=False, elem_id="settings", width=320):
                self._controls = Controls()
            self._connect(talk)
        self.blocks.queue(default_concurrency_limit=None, api_open=False)
        self.blocks._queue.ANALYTICS_MAX_EVENTS = 1  # else it records who asked when, for good

    def _top(self, title: str) -> None:
        with gr.Row(elem_id="top"):
            gr.Markdown(brand(title), elem_id="brand", sanitize_html=False)
            self._line = gr.Markdown(line(None), elem_id="line", sanitize_html=False)
            self._model = gr.Dropdown(
                label="Model", show_label=False, container=False, elem_id="model", min_width=120
            )
            self._refresh = gr.Button("Refresh models", elem_id="refresh", min_width=36)

    def _connect(self, talk: Talk) -> None:
        asked = [self._chat, self._model, *self._controls.parts]
        shown = [self._chat, self._input]
        _on(self._input.submit, talk.submit, [self._input, *asked], shown)
        _on(self._chat.example_select, talk.example, asked, shown)
        _on(self._chat.retry, talk.retry, asked, shown)
        _on(self._chat.edit, talk.edit, asked, shown)
        _on(self._chat.clear, talk.clear, [], [self._chat])
        _on(self._input.stop, talk.stop, [], [])
        for event in (self.blocks.load, self._refresh.click):
            _on(event, talk.list_models, [self._model], [self._model, self._line])
        _on(self._model.input, line, [self._model], [self._line])
        self.blocks.unload(talk.leave)


def _on(event: Any, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    event(
        handler,
        inputs=inputs,
        outputs=outputs,
        show_progress="hidden",
        concurrency_limit=None,
        api_visibility="private",
    )


def _chat(title: str) -> gr.Chatbot:
    return gr.Chatbot(
        elem_id="chat",
        label="Conversation",
        show_label=False,
        container=False,
        scale=1,
        height="100%",
        editable="user",
        buttons=["copy", "copy_all"],
        placeholder=greeting(title),
        examples=[{"text": text} for text in EXAMPLES],
        allow_file_downloads=False,
    )


def _input() -> gr.Textbox:
    return gr.Textbox(
        elem_id="input",
        label="Message",
        show_label=False,
        container=False,
        placeholder="Ask something",
        max_lines=8,
        submit_btn=True,
        autofocus=True,
    )
