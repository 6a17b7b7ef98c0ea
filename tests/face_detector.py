"""A stock face detector: two of OpenCV's cascades (Viola and Jones 2001), as a judge of whether a picture shows a face.

Its settings were fixed on renders of ICT-FaceKit and are not to be changed for another model.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

FRONTAL, PROFILE = "haarcascade_frontalface_alt.xml", "haarcascade_profileface.xml"
SCALE, VOTES = 1.1, 10
"""Step between the sizes that are searched, and how many overlapping raw hits make a detection."""
SMALLEST, LARGEST = 0.27, 0.86
"""Sizes that are searched, relative to the image."""
OVERLAP = 0.5
"""Least intersection over union of a detection and the face's square."""


def face_boxes(image: NDArray[np.uint8]) -> Float:
    """Detections (k, 4): left, top, width and height, pixels.

    Args:
        image: (H, W, 3) sRGB.
    """
    grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    mirrored = np.ascontiguousarray(grey[:, ::-1])
    from_the_left = _raw_hits(PROFILE, mirrored)
    from_the_left[:, 0] = grey.shape[1] - from_the_left[:, 0] - from_the_left[:, 2]
    hits = np.concatenate([_raw_hits(FRONTAL, grey), _raw_hits(PROFILE, grey), from_the_left])
    # A group has to be larger than the threshold.
    boxes, _ = cv2.groupRectangles(hits.tolist(), VOTES - 1, 0.2)
    return np.array(boxes, np.float64).reshape(-1, 4)


def finds_face(image: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> bool:
    """Whether a detection is where the face is.

    Args:
        image: (H, W, 3) sRGB.
        landmarks: (68, 2) pixels.
    """
    boxes = face_boxes(image)
    low, high = face_square(landmarks)
    sides = np.minimum(boxes[:, :2] + boxes[:, 2:], high) - np.maximum(boxes[:, :2], low)
    shared = sides.clip(0).prod(axis=1)
    union = boxes[:, 2:].prod(axis=1) + (high - low).prod() - shared
    return bool((shared > OVERLAP * union).any())


def face_square(landmarks: NDArray[np.floating]) -> tuple[Float, Float]:
    """Corners (2,), (2,) of the square that the cascades mark on a face: from the chin to the forehead's middle."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    size = (high - low).max()
    upwards = landmarks[27] - landmarks[8]
    centre = (low + high) / 2 + 0.2 * size * upwards / np.linalg.norm(upwards)
    return centre - 0.6 * size, centre + 0.6 * size


def _raw_hits(cascade: str, grey: NDArray[np.uint8]) -> NDArray[np.int32]:
    least, most = (round(share * min(grey.shape)) for share in (SMALLEST, LARGEST))
    found = _cascade(cascade).detectMultiScale(grey, SCALE, 0, minSize=(least, least), maxSize=(most, most))
    return np.array(found, np.int32).reshape(-1, 4)


@lru_cache(maxsize=2)
def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}{name}")
