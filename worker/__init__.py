"""One model worker: an OpenAI server on its own, with its own inference engine."""
