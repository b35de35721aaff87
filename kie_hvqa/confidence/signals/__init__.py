"""Signals of confidence, one small module each, with its source; ``kie_hvqa.readers.asked`` makes those that read again."""
