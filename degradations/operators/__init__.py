"""The damage operators, by family: each file holds one place where a photograph of a document goes wrong.

Importing this package registers them all: ``OPERATORS`` maps a name to its class, ``FAMILIES`` a family to its names.
"""

from degradations.operators.base import OPERATORS, Context, Image, Operator, Rng, from_json, operator_class
from degradations.operators.blur import CameraShake, DefocusBlur, GaussianBlur, LensFault, MotionBlur
from degradations.operators.compression import Jpeg, JpegTwice, Messenger, WebP
from degradations.operators.cover import OpaqueOccluder, Patch, TranslucentOccluder
from degradations.operators.curl import PageCurl
from degradations.operators.edges import CroppedEdge, FoldedEdge
from degradations.operators.exposure import HologramSheen, Overexposure, Underexposure
from degradations.operators.finger import Finger
from degradations.operators.geometry import Perspective, Rotation
from degradations.operators.light import Glare, LowContrast, Shadow, UnevenLighting
from degradations.operators.objects import Sticker, Tape
from degradations.operators.sensor import Demosaic, LowLight, LowResolution, Noise, RollingBands
from degradations.operators.stains import DotMatrix, FadedThermal, InkBleed, WaterStain
from degradations.operators.stamp import Stamp
from degradations.operators.wear import Crease, Scratches, WornPrint

FAMILIES: dict[str, tuple[type[Operator], ...]] = {
    "optics": (GaussianBlur, DefocusBlur, MotionBlur, CameraShake, LensFault),
    "sensor": (Noise, LowLight, LowResolution, Demosaic, RollingBands),
    "compression": (Jpeg, JpegTwice, WebP, Messenger),
    "light": (Glare, HologramSheen, Shadow, UnevenLighting, LowContrast, Overexposure, Underexposure),
    "cover": (OpaqueOccluder, TranslucentOccluder, Finger, Sticker, Tape, Stamp, FoldedEdge, CroppedEdge),
    "wear": (Scratches, WornPrint, Crease, WaterStain, FadedThermal, InkBleed, DotMatrix),
    "geometry": (Rotation, Perspective, PageCurl),
}

__all__ = [
    "FAMILIES",
    "OPERATORS",
    "CameraShake",
    "Context",
    "Crease",
    "CroppedEdge",
    "DefocusBlur",
    "Demosaic",
    "DotMatrix",
    "FadedThermal",
    "Finger",
    "FoldedEdge",
    "GaussianBlur",
    "Glare",
    "HologramSheen",
    "Image",
    "InkBleed",
    "Jpeg",
    "JpegTwice",
    "LensFault",
    "LowContrast",
    "LowLight",
    "LowResolution",
    "Messenger",
    "MotionBlur",
    "Noise",
    "OpaqueOccluder",
    "Operator",
    "Overexposure",
    "PageCurl",
    "Patch",
    "Perspective",
    "Rng",
    "RollingBands",
    "Rotation",
    "Scratches",
    "Shadow",
    "Stamp",
    "Sticker",
    "Tape",
    "TranslucentOccluder",
    "Underexposure",
    "UnevenLighting",
    "WaterStain",
    "WebP",
    "WornPrint",
    "from_json",
    "operator_class",
]
