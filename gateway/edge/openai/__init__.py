"""The door for OpenAI's clients: their requests become questions, events become their chunks."""
