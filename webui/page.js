// Beneath an answer stand the page's own notes; they are not part of what a reader copies.
const withoutNotes = (text) => text.replace(/\n?<div class="note [a-z]+">.*?<\/div>/gs, "");

if (navigator.clipboard) {
  const write = navigator.clipboard.writeText.bind(navigator.clipboard);
  navigator.clipboard.writeText = (text) => write(withoutNotes(text));
}
// Over plain HTTP browsers offer no clipboard, and Gradio copies from a text area instead.
document.addEventListener("copy", (event) => {
  if (event.target instanceof HTMLTextAreaElement && event.target.value.includes('class="note ')) {
    event.clipboardData.setData("text/plain", withoutNotes(event.target.value));
    event.preventDefault();
  }
});

document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("#shade")) {
    document.body.classList.toggle("dark");
  }
});
