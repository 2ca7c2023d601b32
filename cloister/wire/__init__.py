"""OpenAI's wire types, as far as Cloister speaks them, and the one way to parse a body."""
