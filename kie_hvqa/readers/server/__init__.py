"""A server that speaks OpenAI's chat completions: where it is, one exchange with it, and what it answers."""
