"""Pools for base training: the same pages whatever draws them, and targets that stand where the ink is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from degradations.config import SimulateConfig
from degradations.simulate import document_samples
from kie_hvqa.config import load
from rl.tiny.base_batches import Sampler
from rl.tiny.pages import UNKNOWN, Pool, Wanted, character_targets, draw, load_pools, recipe_for


@pytest.fixture(scope="module")
def recipe() -> SimulateConfig:
    return load(Path(__file__).parents[3] / "configs" / "simulate" / "tiny.yaml", SimulateConfig)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_pool_is_the_same_for_any_number_of_workers(tmp_path, recipe, damaged):
    wanted = [Wanted("us_licence", "train", 4, damaged)]
    (one,), (two,) = (load_pools(tmp_path / str(n), recipe, wanted, workers=n) for n in (1, 2))
    assert np.array_equal(one.images, two.images)
    assert one.fields == two.fields
    alone = draw(recipe_for(recipe, "us_licence", "train", damaged=damaged), "us_licence", 1)
    assert np.array_equal(one.images[3], alone[1].image)


def test_a_damaged_page_asks_for_the_printed_value_and_tells_the_tower_what_can_be_seen(recipe):
    """The answer never hides anything; the targets hold the asked field's legible characters and no hidden one."""
    config = recipe_for(recipe, "eu_card", "train", damaged=True)
    hidden = 0
    pairs = [
        pair for n in range(6) for pair in zip(document_samples(config, n), draw(config, "eu_card", n), strict=True)
    ]
    for sample, page in pairs:
        row = sample.row
        assert page.fields[0][1] == "".join(slot.char for slot in row.slots)
        assert np.array_equal(page.image, sample.image)
        scored = [slot for slot in row.slots if slot.scored]
        known = [slot.char for slot in scored if slot.legibility != "hidden"]
        assert [chr(code) for code in page.characters if code != UNKNOWN] == known
        assert len(page.characters) > len(known), "the rest of the page is unknown, not empty"
        hidden += len(scored) - len(known)
    assert hidden


def test_an_undamaged_page_is_seen_through_its_capture(recipe):
    """Every character is a target where the picture has its ink."""
    page = draw(recipe_for(recipe, "us_licence", "train", damaged=False), "us_licence", 1)[0]
    values = {char for _, value in page.fields for char in value if char != " "}
    assert values <= {chr(code) for code in page.characters}
    height, width, _ = page.image.shape
    assert (page.centres > 0).all()
    assert (page.centres < (width, height)).all()


def test_damage_takes_its_share_of_the_batches(recipe):
    clean, hurt = _striped_pool(8), dataclasses.replace(_striped_pool(8), damaged=True)
    sampler = Sampler([clean, hurt], seed=0, stage=3, batch=2, shift=0, cell=16, damaged=0.75)
    assert sampler.shares == pytest.approx([0.25, 0.75])


def test_targets_put_each_character_into_the_sub_cell_of_its_centre():
    characters = np.array([ord("A"), ord("7")], np.uint32)
    centres = np.array([[2.0, 3.0], [30.0, 25.0]], np.float32)  # x, y
    targets = character_targets(characters, centres, rows=2, columns=2, cell=16)
    assert targets.shape == (4, 8)
    assert targets[0, 0] == ord("A") - 32
    assert targets[3, 4 + 3] == ord("7") - 32  # last token, lower half, fourth column
    assert np.count_nonzero(targets) == 2


def test_characters_off_the_page_and_outside_ascii_are_no_targets():
    characters = np.array([ord("A"), ord("é")], np.uint32)
    centres = np.array([[-1.0, 3.0], [5.0, 5.0]], np.float32)
    targets = character_targets(characters, centres, rows=1, columns=1, cell=16)
    assert targets.max() == 0
    assert (targets == -100).sum() == 1


def _striped_pool(count: int) -> Pool:
    images = np.full((count, 32, 32, 3), 255, np.uint8)
    images[:, 7:10, 11:14] = 0
    return Pool(
        images,
        np.full(count, ord("X"), np.uint32),
        np.tile(np.array([[12.5, 8.5]], np.float32), (count, 1)),
        np.arange(count + 1),
        [[("LN", "X")] for _ in range(count)],
    )


def test_a_step_is_a_function_of_seed_stage_and_step_alone():
    pool = _striped_pool(8)
    make = lambda stage: Sampler([pool], seed=1, stage=stage, batch=4, shift=3, cell=16)  # noqa: E731
    first, again, other = make(0)(7, 1), make(0)(7, 1), make(1)(7, 1)
    assert np.array_equal(first.pages, again.pages)
    assert first.fields == again.fields
    assert not np.array_equal(first.pages, other.pages)


def test_targets_move_with_the_page():
    """Within a pixel: the page may be stretched, softened and compressed on the way."""
    batch = Sampler([_striped_pool(32)], seed=2, stage=0, batch=32, shift=6, cell=16)(0, 1)
    for page, targets in zip(batch.pages, batch.characters, strict=True):
        ink = page.astype(float).sum(-1)
        y, x = np.unravel_index(cv2.blur(ink, (3, 3)).argmin(), ink.shape)
        (token,), (sub,) = np.nonzero(targets == ord("X") - 32)
        left, top = token % 2 * 16 + sub % 4 * 4, token // 2 * 16 + sub // 4 * 8
        assert left - 1.5 <= x <= left + 4.5
        assert top - 1.5 <= y <= top + 8.5
