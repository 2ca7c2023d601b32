"""The page's own small pieces of HTML."""

import html
from importlib.resources import files

NO_MODEL = "No model can be reached at the moment."


def resource(name: str) -> str:
    """The text of a file that lies beside this one."""
    return files("webui").joinpath(name).read_text(encoding="utf-8")


def brand(title: str) -> str:
    """Mark and name."""
    return f'<div class="brand">{resource("icon.svg")}<h1>{html.escape(title)}</h1></div>'


def line(model: str | None) -> str:
    """Who answers, and that nothing is kept."""
    mood = "line" if model else "line absent"
    speaker = f"You are talking to {html.escape(model)}." if model else NO_MODEL
    return f'<p class="{mood}">{speaker} Prompts are not stored.</p>'


def label(model: str, execution: str) -> str:
    """A model in the picker: its name, and how its worker uses a GPU if it does."""
    return f"{model} · {execution}" if execution not in ("", "local") else model


def greeting(title: str) -> str:
    """What an empty chat shows."""
    words = html.escape(f"Welcome to {title}. What would you like to know?")
    return f'<div class="greeting"><img src="favicon.ico" alt=""><p>{words}</p></div>'


def head() -> str:
    """Style and script. Gradio's own ways of taking them rewrite selectors, or evaluate text."""
    return f"<style>{resource('page.css')}</style><script>{resource('page.js')}</script>"
