"""How a document becomes a picture: scene, lamp, camera or scanner, on every page, whatever else happens to it.

``draw_capture`` draws one, ``Capture`` holds everything that was drawn, ``from_json`` reads it from a row. Where the phases
of a capture meet those of the damage is in ``degradations.recipe``.
"""

from degradations.capture.capture import KINDS, Capture, Kind, from_json

__all__ = ["KINDS", "Capture", "Kind", "from_json"]
