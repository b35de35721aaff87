"""The damage operators, by family: each file holds one place where a photograph of a document goes wrong.

``base.py`` says what an operator is and ``aim.py`` where one lands; a family is a file (``optics``, ``sensor``, ``compression``)
or a room (``light``, ``cover``, ``wear``, ``geometry``), and ``pixels`` is the arithmetic below them.

Importing this package registers them all: ``OPERATORS`` maps a name to its class, ``FAMILIES`` a family to its names.
"""

from degradations.operators.base import OPERATORS, Context, Image, Operator, Rng, from_json, operator_class
from degradations.operators.compression import Jpeg, JpegTwice, Messenger, WebP
from degradations.operators.cover.edges import CroppedEdge, FoldedEdge
from degradations.operators.cover.finger import Finger
from degradations.operators.cover.patches import OpaqueOccluder, Patch, TranslucentOccluder
from degradations.operators.cover.stamp import Stamp
from degradations.operators.cover.stickers import Sticker, Tape
from degradations.operators.geometry.curl import PageCurl
from degradations.operators.geometry.pose import Perspective, Rotation
from degradations.operators.light.exposure import HologramSheen, Overexposure, Underexposure
from degradations.operators.light.lamps import Glare, LowContrast, Shadow, UnevenLighting
from degradations.operators.optics import CameraShake, DefocusBlur, GaussianBlur, LensFault, MotionBlur
from degradations.operators.sensor import Demosaic, LowLight, LowResolution, Noise, RollingBands
from degradations.operators.wear.crease import Crease
from degradations.operators.wear.stains import DotMatrix, FadedThermal, InkBleed, WaterStain
from degradations.operators.wear.surface import Scratches, WornPrint

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
