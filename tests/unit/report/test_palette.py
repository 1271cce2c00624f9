"""The default colours can be told apart, whatever the eyes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segjob.palette import PALETTE, color_of

# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB
SIGHT = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# Ottosson's OKLab, in which distances are about as large as they look
TO_CONES = np.array([[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]])
TO_LAB = np.array([[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]])


def linear(color: str) -> np.ndarray:
    values = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def seen(color: str, sight: str) -> np.ndarray:
    cones = TO_CONES @ np.clip(SIGHT[sight] @ linear(color), 0, 1)
    return np.asarray(TO_LAB @ np.cbrt(cones))


@pytest.mark.parametrize("sight", SIGHT)
def test_no_two_colours_look_alike(sight: str) -> None:
    lab = [seen(color, sight) for color in PALETTE]
    nearest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(lab, 2))
    assert nearest > 0.055  # three times what is just noticeable side by side


def test_every_colour_stands_out_on_white_and_on_the_dark_page() -> None:
    for color in PALETTE:
        luminance = linear(color) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 2
        assert (luminance + 0.05) / (0.009 + 0.05) > 2


def test_ids_have_a_colour_each_and_begin_again_after_the_last() -> None:
    assert len(PALETTE) >= 12
    assert [color_of(segment_id) for segment_id in range(1, len(PALETTE) + 1)] == list(PALETTE)
    assert color_of(len(PALETTE) + 1) == PALETTE[0]
