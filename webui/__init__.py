"""The chat page: a client of any OpenAI-compatible address."""
