"""The embedded reader: a tiny Qwen2.5-VL of the same classes as the 7B model, so that every line of the path
that a laptop runs is the line that a large run takes. Only the configuration is small.
"""
