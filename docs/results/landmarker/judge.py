"""How a stock face detector and landmarker (MediaPipe) do on runs of facegen, which they have never seen.

    python docs/results/landmarker/judge.py RUN [RUN …]

Prints one JSON document. It needs ``mediapipe==0.10.14``, whose wheel has the networks in it, and ``zarr``, and runs
apart from facegen, in an environment that ``make landmarker`` makes: datasets are plain Zarr.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mediapipe
import numpy as np
import zarr

# Landmark of the 68 (Multi-PIE) → vertex of MediaPipe's face mesh, for eyes and mouth.
EYES = dict(zip(range(36, 48), (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380), strict=True))
MOUTH = dict(
    zip(
        range(48, 68),
        (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178),
        strict=True,
    )
)


def judge(run: Path) -> dict[str, object]:
    """Shares of faces that are found, and distances of their landmarks relative to that of the outer eye corners."""
    data = zarr.open_group(str(run / "dataset.zarr"), mode="r")
    solutions = mediapipe.solutions
    detector = solutions.face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.5)
    landmarker = solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.5
    )
    rows = np.flatnonzero(data["valid"][:])
    detected, upside_down, eyes, mouth = 0, 0, [], []
    for row in rows:
        image, marks = data["image"][row], data["landmarks/points_2d"][row]
        height, width = image.shape[:2]
        outer = np.linalg.norm(marks[36] - marks[45])
        middle = marks[36:].mean(axis=0)
        boxes = [d.location_data.relative_bounding_box for d in detector.process(image).detections or ()]
        detected += any(
            box.xmin <= middle[0] / width <= box.xmin + box.width
            and box.ymin <= middle[1] / height <= box.ymin + box.height
            for box in boxes
        )
        # The control: what is no face as people know it should not be found.
        upside_down += bool(detector.process(np.ascontiguousarray(image[::-1])).detections)
        meshes = landmarker.process(image).multi_face_landmarks
        if not meshes:
            continue
        found = np.array([[point.x * width, point.y * height] for point in meshes[0].landmark])
        # A face somewhere else is not this one.
        if np.linalg.norm(found[[*EYES.values(), *MOUTH.values()]].mean(axis=0) - middle) > outer / 2:
            continue
        for pairs, errors in ((EYES, eyes), (MOUTH, mouth)):
            distance = np.linalg.norm(found[list(pairs.values())] - marks[list(pairs)], axis=1)
            errors.append(float(distance.mean() / outer))
    share = {
        "detected": detected / len(rows),
        "detected_upside_down": upside_down / len(rows),
        "landmarks_found": len(eyes) / len(rows),
    }
    spread = {
        f"{name}_{word}": float(np.quantile(errors, q))
        for name, errors in (("eyes", eyes), ("mouth", mouth))
        for word, q in (("median", 0.5), ("p90", 0.9))
    }
    return {"faces": len(rows), **{name: round(value, 4) for name, value in (share | spread).items()}}


if __name__ == "__main__":
    print(json.dumps({Path(run).name: judge(Path(run)) for run in sys.argv[1:]}, indent=1))
