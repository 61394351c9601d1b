from itertools import combinations

import numpy as np
import pytest

from opanas_cli.genotype import PathType
from opanas_cli.genotype.paths import BUILT_IN_PATHS

# Machado, Oliveira and Fernandes 2009, severity 1: how linear RGB looks without one kind of cone.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    x, y, z = np.cbrt(xyz / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", VISION)
def test_colours_stay_apart(kind: str) -> None:
    seen = {path: lab(np.clip(VISION[kind] @ linear(path.colour), 0, 1)) for path in BUILT_IN_PATHS}
    distances = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(seen, 2)}
    assert min(distances.values()) > 15, min(distances, key=distances.get)


def test_labels_of_live_paths_are_legible_on_white() -> None:
    for path in BUILT_IN_PATHS:
        luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ linear(path.colour))
        if path is not PathType.NONE:
            assert 1.05 / (luminance + 0.05) > 3, path


@pytest.mark.parametrize("look", ["value", "short", "colour", "label"])
def test_every_path_has_a_look_of_its_own(look: str) -> None:
    assert len({getattr(path, look) for path in BUILT_IN_PATHS}) == len(BUILT_IN_PATHS)
