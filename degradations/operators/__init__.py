"""The damage operators, by family: each file holds one place where a photograph of a document goes wrong.

Importing this package registers them all: ``OPERATORS`` maps a name to its class.
"""

from degradations.operators.base import OPERATORS, Context, Image, Operator, Rng, from_json, operator_class
from degradations.operators.blur import DefocusBlur, GaussianBlur, MotionBlur
from degradations.operators.cover import OpaqueOccluder, Patch, TranslucentOccluder
from degradations.operators.light import Glare, LowContrast, Shadow, UnevenLighting
from degradations.operators.sensor import Jpeg, LowResolution, Noise

__all__ = [
    "OPERATORS",
    "Context",
    "DefocusBlur",
    "GaussianBlur",
    "Glare",
    "Image",
    "Jpeg",
    "LowContrast",
    "LowResolution",
    "MotionBlur",
    "Noise",
    "OpaqueOccluder",
    "Operator",
    "Patch",
    "Rng",
    "Shadow",
    "TranslucentOccluder",
    "UnevenLighting",
    "from_json",
    "operator_class",
]
