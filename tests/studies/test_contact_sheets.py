"""Contact sheets: one file a name, small enough for a repository."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kie_hvqa.errors import InputError, WorkError
from studies import contact_sheets
from studies.contact_sheets import encoded, grid, main


def test_a_sheet_is_written_and_fits(tmp_path):
    main(["--out", str(tmp_path), "--only", "us_licence"])
    (path,) = tmp_path.iterdir()
    assert path.name == "template-us_licence.jpg" and path.stat().st_size <= contact_sheets.LIMIT
    assert cv2.imread(str(path)).shape[1] == contact_sheets.WIDTH


def test_an_unknown_name_is_suggested(tmp_path):
    with pytest.raises(InputError, match="fapiao"):
        main(["--out", str(tmp_path), "--only", "fapio"])


def test_quality_falls_until_the_sheet_fits_or_the_command_gives_up(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8)
    assert len(encoded(noise)) <= contact_sheets.LIMIT
    monkeypatch.setattr(contact_sheets, "LIMIT", 2000)
    with pytest.raises(WorkError, match="does not fit"):
        encoded(noise)


def test_rows_are_as_high_as_their_highest():
    low, high = np.zeros((10, 30, 3), np.uint8), np.zeros((25, 30, 3), np.uint8)
    assert grid([[low, high], [low]]).shape == (10 + 25 + 10 + 10 + 10, contact_sheets.WIDTH, 3)
