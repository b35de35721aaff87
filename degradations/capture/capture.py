"""How a document came to be a picture: the scene it lies in, the light on it, the camera or scanner that saw it.

A capture is drawn for every page, whatever its severity, and is benign: it takes no character out of ``clear``. Damage
happens inside it, where it happens to a real thing: wear to the document before it lies in the scene; covers, lamps and
shadows in the scene before the camera; blur in the lens before the sensor; a sensor's faults after its own light and before
its file; further coders after that (``Recipe``).

A row keeps it beside the recipe, and ``from_json(to_json(capture))`` makes the same picture.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from degradations.capture.camera import Camera
from degradations.capture.lamp import Lamp
from degradations.capture.scene import Scene
from degradations.capture.sensor import Sensor, decoded, jpeg_bytes
from degradations.operators.base import Finite, Image, Origin
from kie_hvqa.errors import InputError

Kind = Literal["photo", "flatbed", "feeder", "fax", "screenshot"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Side = Annotated[int, Field(ge=1, le=20_000)]
Three = tuple[Finite, Finite, Finite]


@dataclass(frozen=True, slots=True)
class Capture:
    """``page`` and ``size`` are (width, height) of page and picture, ``rows`` the homography from the one to the other.

    ``quality`` is that of the JPEG that the camera wrote; 0 for a picture that was kept without loss.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    kind: Kind
    page: tuple[Side, Side]
    size: tuple[Side, Side]
    rows: tuple[Three, Three, Three]
    scene: Scene
    lamp: Lamp
    sensor: Sensor
    quality: Annotated[int, Field(ge=0, le=100)]

    @property
    def camera(self) -> Camera:
        return Camera(self.page, self.size, self.rows)

    @property
    def scale(self) -> float:
        """Pixels of the picture for one of the page, at the middle of the page."""
        x, y = self.page[0] / 2, self.page[1] / 2
        a, b = self.camera.map_points(np.array([[x - 1, y - 1], [x + 1, y + 1]]))
        return math.dist(a, b) / 8**0.5

    def lit(self, image: Image, origin: Origin) -> Image:
        return self.lamp.lit(image, origin, self.size)

    @property
    def noisy(self) -> bool:
        """Whether the picture has anything that another draw or another phase of the sensor would have made otherwise."""
        return self.sensor.grain > 0 or self.quality > 0

    def again(self, turn: int) -> Capture:
        """The same capture with other noise."""
        return replace(self, sensor=replace(self.sensor, seed=(self.sensor.seed + 7919 * turn) % 2**32))

    def filed(self, image: Image) -> tuple[Image, bytes | None]:
        """The whole picture as the camera's file holds it, and that file; None where none was written."""
        if not self.quality:
            return image, None
        data = jpeg_bytes(image, self.quality)
        return decoded(data), data

    def to_json(self) -> dict[str, str]:
        """``{"kind": …, "parameters": JSON text}``: one shape for all, so that rows load as a table."""
        parameters = dataclasses.asdict(self)
        kind = parameters.pop("kind")
        return {"kind": kind, "parameters": json.dumps(parameters, separators=(",", ":"), allow_nan=False)}


@cache
def _adapter() -> TypeAdapter[Capture]:
    return TypeAdapter(Capture)


def from_json(data: Mapping[str, Any]) -> Capture:
    """The capture that ``to_json`` wrote. Raises InputError naming the parameter for anything unknown or out of range."""
    if not isinstance(data, Mapping) or set(data) != {"kind", "parameters"}:
        raise InputError(
            f"a capture is {{kind, parameters}}, not {data!r:.80}", field="capture", remedy="Copy the row whole."
        )
    try:
        parameters = data["parameters"]
        values = json.loads(parameters) if isinstance(parameters, str) else dict(parameters)
        return _adapter().validate_json(json.dumps({**values, "kind": data["kind"]}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["capture", *(str(part) for part in first["loc"])])
        raise InputError(str(first["msg"]), field=where, remedy="Copy the row whole.") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"not a capture's JSON ({error})", field="capture", remedy="Copy the row whole.") from None
