"""``view: field``: a row's image is a crop around the asked line instead of the whole page.

That is what a pipeline with a detector or a fixed template shows its reader, and what fits a reader with a small pixel budget.
The page is damaged first and cut afterwards, so nothing is drawn or judged otherwise than for ``view: page``. The ledger speaks
of what the crop shows: its boxes are in the crop's pixels, and another print of the value counts only where it is inside.

The context is drawn from the row's own generator (``generator(seed, document, sample, "view")``). The value's boxes are never
cut; a question about an absent field is shown some other line's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from degradations.asked.other_prints import OtherPrints
from degradations.asked.question import Question
from degradations.damage import Damaged, explained
from degradations.legibility import LegibilityModel, ledger
from degradations.legibility.judge import lies_in
from degradations.operators import Image, Rng
from degradations.recipe import Recipe
from kie_hvqa.data.ledger import Box, Slot

Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels of the page's picture, the last two excluded."""

ABOVE = (
    0.8,
    1.4,
)  # heights of the line that are shown above it, and as many below: the asked line stays nearest to the middle
BESIDE = (0.3, 1.5)  # and on its left and right


def draw_window(boxes: Sequence[Box], size: tuple[int, int], rng: Rng) -> Window:
    """A crop of a picture of ``size`` (width, height) around ``boxes``, which it holds whole as far as the picture does.

    Each side's context is drawn by itself, in heights of the field's middle box, so the field is rarely in the very middle.
    """
    width, height = size
    line = max(1.0, sorted(box[3] - box[1] for box in boxes)[len(boxes) // 2])
    left, right = rng.uniform(*BESIDE, 2) * line
    above, below = rng.uniform(*ABOVE, 2) * line
    # What lies off the picture altogether leaves the crop at its edge, and a pixel wide at least.
    x0 = min(max(0, int(min(box[0] for box in boxes) - left)), width - 1)
    y0 = min(max(0, int(min(box[1] for box in boxes) - above)), height - 1)
    x1 = max(x0 + 1, min(width, int(max(box[2] for box in boxes) + right) + 1))
    y1 = max(y0 + 1, min(height, int(max(box[3] for box in boxes) + below) + 1))
    return x0, y0, x1, y1


def cut(image: Image, window: Sequence[int]) -> Image:
    """What ``window`` shows of ``image`` (uint8 [H, W, 3]), a copy."""
    x0, y0, x1, y1 = window
    return image[y0:y1, x0:x1].copy()


def view_field(
    page: Image,
    question: Question,
    damaged: Damaged,
    index: int,
    rng: Rng,
    model: LegibilityModel,
    *,
    elsewhere: Sequence[Box] = (),
) -> tuple[Damaged, Window]:
    """The crop for ``question``, number ``index`` of those that the clean ``page`` was ``damaged`` for: its image and, alone,
    its slots; and where it was cut out.

    ``elsewhere`` (boxes on the clean page) is where a question about an absent field is cut out.
    """
    image, recipe = damaged.image, damaged.recipe
    places = recipe.map_boxes(question.boxes or elsewhere)
    window = draw_window(places, (image.shape[1], image.shape[0]), rng)
    slots = damaged.slots[index]
    if question.copies or question.others is not None:  # what the crop leaves out says nothing any more
        seen = replace(question, others=_others_inside(question.others, recipe, window))
        copies = question.copies
        slots = ledger(model, seen.value, page, image, seen.boxes, copies, recipe=recipe, how=seen.how, within=window)
        slots = explained(seen, slots, page, image, recipe, model)
    crop = replace(damaged, image=cut(image, window), slots=(_moved(slots, window),), file=None)
    return crop, window


def _moved(slots: Sequence[Slot], window: Window) -> tuple[Slot, ...]:
    x, y = window[:2]
    return tuple(
        replace(slot, box=tuple(round(v - o, 2) for v, o in zip(slot.box, (x, y, x, y), strict=True)))  # type: ignore[arg-type]
        for slot in slots
    )


def _others_inside(others: OtherPrints | None, recipe: Recipe, window: Window) -> OtherPrints | None:
    """``others`` with those derivations whose sources all lie inside ``window``."""
    if others is None:
        return None
    kept = tuple(
        found
        for found in others.derivations
        if all(lies_in(box, window) for source in found.sources for box in recipe.map_boxes(others.boxes(source)))
    )
    return replace(others, derivations=kept)
