"""``kie-hvqa serve``: a checkpoint behind OpenAI's chat completions, on loopback."""
