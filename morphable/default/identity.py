"""What differs from head to head: smooth displacement fields on the control points of the left half.

A field moves the points by about 1 mm at unit strength where it is strongest (angles: 1°). Each of the 19
measurements has a field that drives it; the free ones shape what no measurement fixes. Eyes and ears move rigidly in
all fields but their own: the lids keep their seat on the eyeball, whose size is the same in all people (adults'
eyeballs differ by some 0.5 mm).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facegen.morphable.default.measurements import Measurements
from facegen.morphable.default.network import ControlNetwork
from facegen.morphable.default.tables import read_yaml

Float = NDArray[np.float64]
Fields = dict[str, Float]

LIDS = ("upper_lid_margin", "lower_lid_margin", "upper_tarsal_plate", "lower_tarsal_plate")
"""The curves that lie on the eyeball."""

_EARS = ("helix", "scapha", "antihelix", "concha", "tragus")
_UPPER_LIP = ("upper_mouth_seam", "upper_vermilion_border", "upper_lip_bulge")
_LOWER_LIP = ("lower_mouth_seam", "lower_vermilion_border", "lower_lip_bulge")
_NOSE = ("nose", "ala", "alar_crease", "alar_rim", "columella", "nostril_sill", "nostril")


def read_table() -> dict[str, Any]:
    """The contents of ``anthropometry.yaml``. Not to be changed: it is shared."""
    return read_yaml("anthropometry.yaml")


def symmetric_fields(network: ControlNetwork) -> Fields:
    """Name → displacement (n, 3), mm, of the left control points; the right half mirrors it.

    Points of the midline stay on it.
    """
    broad: Fields = {}
    for part in (_face_fields, _skull_fields, _brow_fields, _nose_fields, _mouth_fields, _cheek_fields, _jaw_fields,
                 _neck_fields):  # fmt: skip
        broad |= part(_Places(network))
    settled = {name: _settle(network, field) for name, field in broad.items()}
    own = _eye_fields(network) | _ear_fields(_Places(network))
    result = {name: _joined(network, field) for name, field in (settled | own).items()}
    for field in result.values():
        field[network.points[:, 0] == 0, 0] = 0
    return result


def antisymmetric_fields(network: ControlNetwork) -> Fields:
    """Name → displacement (n, 3), mm, of the left control points; the right half does the opposite of its mirror image.

    On the midline only x may move.
    """
    at = _Places(network)
    front = at.rise("z", 0, 60)
    lateral = at.rise("x", 0, 22)
    jaw = at.rise("y", -55, -105) * at.rise("y", -160, -118) * at.rise("z", -10, 55)
    nose = at.bump("y", -34, 11) * at.on_nose * at.rise("x", 24, 6)
    fields = {
        "jaw_deviation": at.vector(x=jaw),
        "nose_deviation": at.vector(x=nose),
        "eye_level": at.vector(y=eye_weight(network)),
        "brow_level": at.vector(y=lateral * at.bump("y", 24, 9) * front),
        "mouth_level": at.vector(y=lateral * at.bump("y", -70, 11) * at.rise("x", 52, 25) * front),
        "nostril_level": at.vector(y=at.rise("x", 3, 13) * at.bump("y", -43, 7) * at.on_nose),
        "cheek_fullness": at.vector(x=0.8 * at.bump("y", -50, 22) * at.rise("x", 22, 55) * at.rise("z", -25, 15)),
        "ear_level": at.vector(y=at.ear, z=0.5 * at.ear),
    }
    result = {
        name: _joined(network, field if name == "ear_level" else _settle(network, field))
        for name, field in fields.items()
    }
    for field in result.values():
        field[network.points[:, 0] == 0, 1:] = 0
    return result


def settled(network: ControlNetwork, field: Float) -> Float:
    """A field (n, 3) or (..., n, 3) made rigid at the eye, so that it may be added to a head."""
    weight = eye_weight(network)[:, None]
    return _joined(network, field * (1 - weight))


def eyeball_motion(network: ControlNetwork) -> Float:
    """The linear map (3, n, 3) from a displacement (n, 3) of the left control points to the left eyeball's translation.

    It is the translation in the least-squares fit of the lids' displacement by translations and by what lids do alone
    (open, lengthen, tilt, arch, sag). So it is exact for every field of this module, and zero for the lids' own.
    Use as ``np.einsum("anb,nb->a", eyeball_motion(network), displacement)``.
    """
    lids = network.rows(*LIDS)
    own = [field[lids].ravel() for field in _lid_fields(network).values()]
    columns = np.stack([*np.tile(np.eye(3), (len(lids), 1)).T, *own], axis=1)
    inverse = np.linalg.pinv(columns)[:3].reshape(3, len(lids), 3)
    result = np.zeros((3, network.count, 3))
    result[:, lids] = inverse
    return result


def calibrated_points(network: ControlNetwork) -> Float:
    """Control points (n, 3) of the mean head: its 19 measurements equal the mean of the male and the female table."""
    table = read_table()
    measure = Measurements(table["measurements"], network)
    fields = symmetric_fields(network)
    start = network.points + sum(amount * fields[name] for name, amount in table["mean"].items())
    target = np.array([(entry["male"] + entry["female"]) / 2 for entry in table["measurements"].values()])
    drivers = np.stack([fields[name] for name in measure.names])
    amounts = newton(measure, start[None], drivers, target[None])[0]
    result: Float = start + np.tensordot(amounts, drivers, 1)
    return result


def newton(measure: Measurements, points: Float, drivers: Float, target: Float, steps: int = 8) -> Float:
    """Amounts (H, 19) of the drivers that bring the heads' measurements to their targets.

    Args:
        measure: the measurements.
        points: (H, n, 3) the heads to start from.
        drivers: (19, n, 3) the fields that may be added.
        target: (H, 19) mm.
        steps: of Newton's method; the spans are linear in the amounts, so that few are enough.
    """
    start = measure.spans(points)
    slopes = measure.spans(drivers)
    amounts = np.zeros(target.shape)
    for _ in range(steps):
        spans = start + np.einsum("hf,fmc->hmc", amounts, slopes)
        length = np.linalg.norm(spans, axis=-1)
        jacobian = np.einsum("hmc,fmc->hmf", spans / length[..., None], slopes)
        amounts += np.linalg.solve(jacobian, (target - length)[..., None])[..., 0]
    return amounts


# --- tools ------------------------------------------------------------------------------------------------------------


class _Places:
    """Smooth weights (n,) over the control points by where they rest."""

    def __init__(self, network: ControlNetwork) -> None:
        self.network = network
        self.points = network.points
        self.x, self.y, self.z = network.points.T
        self.ear = network.on(*_EARS) + 0.75 * network.on("ear_attachment")
        """1 on the ear, less where it is attached."""
        midline = network.on("midline_nose_and_forehead") & (self.y < 16) & (self.y > -49.5)
        self.on_nose = (network.on(*_NOSE) | midline).astype(np.float64)
        self.on_lips = network.on(*_UPPER_LIP, *_LOWER_LIP).astype(np.float64)
        corner = self.points[network.names["cheilion"], 0]
        self.along_mouth = np.clip(self.x / corner, 0, 1)
        """0 at the middle of the mouth, 1 at its corner."""

    def on(self, *names: str) -> Float:
        """1 on some curves."""
        return self.network.on(*names).astype(np.float64)

    def bump(self, axis: str, centre: float, width: float) -> Float:
        """Gaussian of standard deviation ``width`` along an axis."""
        result: Float = np.exp(-0.5 * ((getattr(self, axis) - centre) / width) ** 2)
        return result

    def rise(self, axis: str, start: float, end: float) -> Float:
        """Smoothstep from 0 at ``start`` to 1 at ``end`` along an axis; ``start`` may be the larger."""
        return smoothstep(start, end, getattr(self, axis))

    def vector(self, x: ArrayLike = 0.0, y: ArrayLike = 0.0, z: ArrayLike = 0.0) -> Float:
        """(n, 3) of components that broadcast to (n,)."""
        return np.stack(np.broadcast_arrays(x, y, z, self.x)[:3], axis=1).astype(np.float64)


def smoothstep(start: float, end: float, value: Float) -> Float:
    """0 at ``start``, 1 at ``end``, 3t² - 2t³ between; ``start`` may be the larger."""
    t = np.clip((value - start) / (end - start), 0, 1)
    result: Float = t * t * (3 - 2 * t)
    return result


def eye_weight(network: ControlNetwork) -> Float:
    """(n,) how far a point moves with the eyeball: 1 on the lids, falling to 0 at brow, nose and cheek."""
    centre = network.eyeball.centre
    across, up = network.points[:, 0] - centre[0], network.points[:, 1] - centre[1]
    reach = np.hypot(across / np.where(across < 0, 17.5, 19.0), (up - 1) / np.where(up < 1, 12.0, 13.0))
    weight = smoothstep(1.75, 0.95, reach) * smoothstep(40, 62, network.points[:, 2])
    return np.where(network.on(*LIDS), 1.0, weight)


def _settle(network: ControlNetwork, field: Float) -> Float:
    """Make a field rigid at the eye and at the ear: there it becomes its mean over the lids and over the ear."""
    at = _Places(network)
    eye = eye_weight(network)[:, None]
    # A field that moves the eyes sideways leaves the bridge of the nose between them.
    translation = field[network.rows(*LIDS)].mean(axis=0) * np.stack(
        [at.rise("x", 0, 12), 1 + 0 * at.x, 1 + 0 * at.x], axis=1
    )
    field = field * (1 - eye) + translation * eye
    ear = at.ear[:, None]
    result: Float = field * (1 - ear) + field[network.rows(*_EARS)].mean(axis=0) * ear
    return result


def _joined(network: ControlNetwork, field: Float) -> Float:
    """Points that lie at one place, such as the ends of two curves, move as one."""
    _, group = np.unique(network.points.round(6), axis=0, return_inverse=True)
    group = group.ravel()
    share = np.eye(group.max() + 1)[group]
    mean = share / share.sum(axis=0)
    result: Float = np.einsum("ng,mg,...mc->...nc", share, mean, field, optimize=True)
    return result


# --- the fields, part by part -----------------------------------------------------------------------------------------


def _face_fields(at: _Places) -> Fields:
    """Widths, heights and depths of the whole face."""
    side = at.x / 70
    above_neckline = np.where(at.y < -115, at.rise("y", -165, -115), 1.0)
    forward = at.rise("z", -40, 20) * above_neckline
    facing = at.rise("z", -10, 75)
    nose_height = np.where(at.y > 5, 0.0, np.where(at.y > -48.4, (at.y - 5) / 53.4, -1.0))
    middle = at.rise("y", 20, -30)
    zygomatic = 0.5 * side * at.bump("y", -14, 36) * at.rise("x", 18, 64) * at.rise("z", -95, 0)
    return {
        "zy": at.vector(x=zygomatic * (1 - at.ear) + 0.45 * at.ear),
        "go": at.vector(
            x=0.5 * at.rise("x", 12, 52) * at.bump("y", -84, 26) * at.rise("y", -135, -100) * at.rise("z", -50, 5)
        ),
        "ft": at.vector(x=0.5 * at.rise("x", 18, 52) * at.bump("y", 26, 19) * at.rise("z", -30, 62)),
        "eu": at.vector(x=0.5 * at.x / 74.5 * at.rise("y", 5, 58)),
        "nsn": at.vector(y=nose_height * forward),
        "tsn": at.vector(z=facing * middle * at.rise("y", -140, -108)),
        "tg": at.vector(z=facing * (1 - middle) * at.rise("y", 130, 55)),
        "tgn": at.vector(z=at.rise("z", 5, 75) * at.rise("y", -70, -116) * at.rise("y", -145, -116)),
    }


def _skull_fields(at: _Places) -> Fields:
    above = np.clip(at.y - 25, 0, None) / 60
    return {
        "forehead_slope": at.vector(z=-above * at.rise("z", -30, 45)),
        "forehead_height": at.vector(y=0.5 * np.clip(at.y - 30, 0, None) / 60),
        "forehead_curve": at.vector(z=at.bump("y", 60, 17) * at.rise("z", 20, 80)),
        "temple_hollow": at.vector(x=-0.8 * at.bump("y", 24, 15) * at.bump("z", 48, 17) * at.rise("x", 45, 62)),
        "occiput": at.vector(z=-at.rise("z", 10, -85) * at.rise("y", -60, 10) * at.rise("y", 135, 60)),
        "skull_height": at.vector(y=at.rise("y", 45, 122)),
    }


def _brow_fields(at: _Places) -> Fields:
    brow = at.bump("y", 21.5, 6.5) * at.rise("z", 45, 75)
    return {
        "brow_height": at.vector(y=at.bump("y", 21, 8.5) * at.rise("z", 45, 75) * at.rise("x", 0, 14)),
        "brow_ridge": at.vector(
            z=brow * at.rise("x", 2, 14) * at.rise("x", 66, 46), x=0.3 * brow * at.bump("x", 51, 7)
        ),
        "glabella": at.vector(z=at.bump("y", 19, 7.5) * at.rise("x", 17, 3)),
    }


def _nose_fields(at: _Places) -> Fields:
    nose = at.on_nose
    ridge = at.rise("x", 14, 2) * nose
    tip = at.bump("y", -41, 6.5) * nose * at.rise("x", 15, 3)
    side = at.rise("x", 3, 16) * at.rise("y", -15, -38) * nose
    lobule = at.bump("y", -37, 5.5) * nose
    beside = 0.25 * at.rise("x", 14, 23) * at.rise("x", 42, 24) * at.bump("y", -44, 9) * (1 - nose)
    protrusion = 0.75 * at.bump("y", -38, 12) * at.rise("x", 19, 4) + 0.35 * at.rise("y", -4, -30) * at.rise(
        "x", 15, 3
    ) * at.rise("y", -46.5, -40)
    wing = at.on("ala", "alar_rim") + 0.75 * at.on("alar_crease") + at.on("nostril") * at.rise("x", 5, 12)
    return {
        "prn": at.vector(z=protrusion * nose),
        "al": at.vector(x=0.5 * side + beside),
        "nasal_root": at.vector(z=at.bump("y", 2.5, 7) * at.rise("x", 14.5, 3)),
        "hump": at.vector(z=at.bump("y", -15, 6.5) * ridge),
        "tip_rotation": at.vector(y=tip, z=0.2 * tip),
        "tip_width": at.vector(x=at.bump("x", 8.6, 4) * lobule, z=0.45 * at.bump("x", 9, 3.5) * lobule),
        "bridge_width": at.vector(x=nose * at.bump("x", 8, 4.5) * at.bump("y", -10, 12)),
        "nostril_height": at.vector(y=0.8 * at.on("alar_rim") + 0.7 * at.on("nostril") * at.rise("z", 102, 111)),
        "ala_height": at.vector(y=wing * at.bump("y", -42, 8)),
    }


def _mouth_fields(at: _Places) -> Fields:
    u = at.along_mouth
    lips = at.on_lips
    front = at.rise("z", 60, 88)
    around = at.bump("y", -69, 15) * front
    below = np.where(at.y < -115, at.rise("y", -165, -115), 1.0) * at.rise("z", -40, 20)
    philtrum = at.on("philtrum")
    upper, lower = at.on("upper_vermilion_border"), at.on("lower_vermilion_border")
    upper_bulge, lower_bulge = at.on("upper_lip_bulge"), at.on("lower_lip_bulge")
    widen = np.where(lips > 0, u, smoothstep(3, 25, at.x) * at.rise("x", 50, 27) * at.bump("y", -69, 11) * front * 0.9)
    chin = at.rise("y", -72, -113) * np.where(at.y < -118, at.rise("y", -165, -118), 1.0)
    projection = (
        lips * (1 - u**2)
        + 0.45 * at.on("sublabial") * at.rise("y", -86, -80)
        + 0.45 * philtrum * at.rise("y", -49, -58) * (1 - u)
    )
    ridge = upper * np.minimum(at.x, np.clip(12 - at.x, 0, None)) / 5.8 + philtrum * at.rise("x", 9, 5)
    corner = smoothstep(8, 25.6, at.x) * at.rise("x", 40, 27) * at.bump("y", -71, 9) * front
    muzzle = at.rise("x", 46, 14) * at.bump("y", -68, 15) * at.rise("z", 55, 90) * (1 - at.on_nose)
    return {
        "snsto": at.vector(y=-at.rise("y", -48.6, -68) * below),
        "lssto": at.vector(
            y=(1 - 0.9 * u) * upper
            + 0.45 * (1 - 0.5 * u) * upper_bulge
            + 0.5 * (1 - 0.8 * u) * philtrum * at.rise("y", -50, -58),
            z=(1 - u) * (0.25 * upper + 0.35 * upper_bulge),
        ),
        "stoli": at.vector(
            y=-(1 - 0.8 * u) * lower
            - 0.45 * (1 - 0.5 * u) * lower_bulge
            - 0.6 * (1 - 0.6 * u) * at.on("sublabial") * at.rise("y", -90, -79),
            z=(1 - u) * (0.3 * lower + 0.4 * lower_bulge),
        ),
        "ch": at.vector(x=0.5 * widen, z=-0.2 * np.where(lips > 0, u**2, 0) - 0.12 * at.on("modiolus")),
        "cph": at.vector(x=0.5 * ridge),
        "stogn": at.vector(y=-chin * at.rise("z", -35, 25)),
        "lip_projection": at.vector(z=projection),
        "lower_lip": at.vector(
            z=(1 - u**2) * (lower_bulge + 0.7 * lower + 0.3 * at.on("lower_mouth_seam")), y=-0.2 * lower_bulge
        ),
        "cupids_bow": at.vector(y=upper * (at.bump("x", 5.8, 3) - 0.6 * at.bump("x", 0, 2))),
        "mouth_corner": at.vector(y=corner),
        "prognathism": at.vector(z=muzzle + 0.25 * at.rise("x", 34, 10) * at.bump("y", -95, 10) * around),
    }


def _cheek_fields(at: _Places) -> Fields:
    front = at.rise("z", 35, 62)
    full = at.rise("x", 25, 54) * at.bump("y", -56, 24) * at.rise("z", -45, 5)
    under = at.bump("y", -117, 9) * at.rise("z", 15, 45) * at.rise("x", 70, 20)
    beside = at.bump("y", -49, 10) * at.rise("z", 60, 84)
    return {
        "malar": at.vector(
            x=0.6 * at.bump("x", 56, 10) * at.bump("y", -19, 10) * front,
            z=at.bump("x", 47, 11) * at.bump("y", -20, 10) * front,
        ),
        "hollow": at.vector(
            z=-at.bump("x", 45, 10) * at.bump("y", -48, 13) * front,
            x=-0.45 * at.bump("x", 56, 8) * at.bump("y", -52, 15) * at.bump("z", 45, 22),
        ),
        "fat": at.vector(x=0.8 * full, y=-0.6 * under, z=0.5 * at.bump("x", 40, 12) * at.bump("y", -55, 18) * front),
        "midface": at.vector(z=at.bump("x", 27, 11) * at.bump("y", -19, 8) * front * (1 - at.on_nose)),
        "nasolabial": at.vector(
            z=0.75 * beside * at.bump("x", 32, 4.5) - 0.9 * at.on("nasolabial_fold") * at.rise("y", -46, -53),
            y=-0.4 * beside * at.bump("x", 32, 5),
        ),
    }


def _jaw_fields(at: _Places) -> Fields:
    front = at.rise("z", 40, 75)
    mental = at.bump("y", -102, 9) * front
    jowl = at.bump("x", 36, 9) * at.bump("y", -99, 9.5) * at.rise("z", 25, 50)
    return {
        "chin_projection": at.vector(z=at.bump("y", -101, 11) * at.rise("x", 36, 10) * front),
        "chin_width": at.vector(x=0.8 * at.rise("x", 3, 18) * at.rise("x", 52, 27) * at.bump("y", -104, 11) * front),
        "chin_cleft": at.vector(z=mental * (at.bump("x", 9, 4) - 0.9 * at.bump("x", 0, 3.5))),
        "mentolabial": at.vector(z=-at.bump("y", -87, 5.5) * at.rise("x", 30, 12) * at.rise("z", 60, 85)),
        "gonial_height": at.vector(
            y=at.bump("y", -86, 15) * at.rise("x", 32, 50) * at.rise("z", 66, 22) * at.rise("z", -35, 0)
        ),
        "jaw_square": at.vector(
            x=0.8 * at.bump("y", -84, 14) * at.rise("x", 36, 51) * at.bump("z", 22, 22),
            y=-0.5 * at.bump("y", -90, 13) * at.rise("x", 36, 50) * at.bump("z", 20, 20),
        ),
        "jowl": at.vector(x=0.6 * jowl, y=-jowl, z=0.35 * jowl),
        "submental": at.vector(
            y=-at.bump("y", -119, 8) * at.bump("z", 60, 16) * at.rise("x", 44, 12),
            z=0.3 * at.bump("y", -124, 9) * at.bump("z", 50, 15) * at.rise("x", 40, 8),
        ),
    }


def _neck_fields(at: _Places) -> Fields:
    neck = at.rise("y", -92, -128)
    return {
        "neck_width": at.vector(x=at.x / 55 * at.rise("y", -85, -128)),
        "neck_depth": at.vector(z=neck * np.where(at.z > -15, at.rise("z", -15, 40), -at.rise("z", -15, -70))),
        "neck_slack": at.vector(
            y=-0.8 * at.bump("y", -120, 7) * at.bump("z", 56, 14) * at.rise("x", 30, 6),
            z=at.bump("y", -127, 9) * at.rise("x", 26, 3) * at.rise("z", 20, 40),
        ),
        "adams_apple": at.vector(z=2.2 * at.bump("y", -141, 8) * at.rise("x", 20, 1) * at.rise("z", 10, 35)),
    }


def _ear_fields(at: _Places) -> Fields:
    ear = at.network.on(*_EARS) + 0.85 * at.on("ear_attachment")
    root = np.array([71.0, -17.0, -8.0])
    outward = smoothstep(71, 88, at.x)
    return {
        "ear_size": (at.points - root) * ear[:, None] / 60,
        "ear_protrusion": at.vector(x=outward * at.on(*_EARS), z=0.3 * outward * at.on(*_EARS)),
        "ear_lobe": at.vector(y=-at.rise("y", -24, -46) * ear),
    }


def _eye_fields(network: ControlNetwork) -> Fields:
    """Where the eye stands, what its lids do, and the folds around them."""
    at = _Places(network)
    weight = eye_weight(network)
    u = _along_eye(at)
    inner, middle = smoothstep(0.5, 0.1, u), 4 * u * (1 - u)
    crease, fold, sulcus = at.on("lid_crease"), at.on("lid_fold"), at.on("upper_orbital_sulcus")
    furrow, trough = at.on("infraorbital_furrow"), at.on("tear_trough") * smoothstep(58, 44, at.x)
    return {
        "en": at.vector(x=0.5 * weight * at.rise("x", 0, 12)),
        "eye_depth": at.vector(z=weight),
        **_lid_fields(network),
        "lid_fold": at.vector(
            y=-0.85 * fold - 0.5 * crease - 0.3 * sulcus,
            z=0.45 * fold * middle + 0.15 * crease + 0.6 * sulcus * (0.4 + 0.6 * middle),
        ),
        "epicanthus": at.vector(
            x=-0.6 * inner * (fold + 0.7 * crease),
            y=-inner * (1.1 * fold + 0.8 * crease + 0.7 * sulcus),
            z=inner * (0.6 * fold + 0.4 * crease + 1.1 * sulcus),
        ),
        "eye_bags": at.vector(y=-0.4 * furrow, z=0.9 * furrow - 0.6 * trough),
    }


def _along_eye(at: _Places) -> Float:
    """(n,) 0 at the inner, 1 at the outer corner of the eye."""
    inner, outer = (at.points[at.network.names[name], 0] for name in ("endocanthion", "exocanthion"))
    along: Float = np.clip((at.x - inner) / (outer - inner), 0, 1)
    return along


def _lid_fields(network: ControlNetwork) -> Fields:
    """What the lids do on the eyeball; they slide along it."""
    at = _Places(network)
    away = at.points - network.eyeball.centre
    weight = eye_weight(network)
    u = _along_eye(at)
    middle = 4 * u * (1 - u)
    upper = at.on("upper_lid_margin") + 0.85 * at.on("upper_tarsal_plate") + 0.6 * at.on("lid_crease", "lid_fold")
    lower = at.on("lower_lid_margin") + 0.8 * at.on("lower_tarsal_plate") + 0.3 * at.on("infraorbital_furrow")
    longer = 0.5 * np.clip(away[:, 0] / 14.4, -1.1, 1.1) * weight
    # The outer corner wraps around the eyeball; the inner one stands off it.
    turn = np.clip(away[:, 0] / np.maximum(away[:, 2], 1), -0.6, 2.0)
    tilt = np.radians(1) * weight
    return {
        "ex": at.vector(x=longer, z=-turn * longer),
        "ps": _along_eyeball(network, at.vector(y=(0.6 * upper - 0.4 * lower) * middle)),
        "canthal_tilt": at.vector(x=-away[:, 1] * tilt, y=away[:, 0] * tilt),
        "lid_arch": _along_eyeball(network, at.vector(y=upper * np.sin(2 * np.pi * u))),
        "lower_lid": _along_eyeball(network, at.vector(y=-lower * middle)),
    }


def _along_eyeball(network: ControlNetwork, field: Float) -> Float:
    """The part of a field (n, 3) that is tangential to the eyeball."""
    away = network.points - network.eyeball.centre
    outward = away / np.linalg.norm(away, axis=1, keepdims=True)
    result: Float = field - (field * outward).sum(axis=1, keepdims=True) * outward
    return result


def effects_of(table: Mapping[str, float], names: tuple[str, ...]) -> Float:
    """The entries of a table of effects as a vector by name; absent ones are 0.

    Raises:
        KeyError: for an entry of no such name.
    """
    for name in table:
        if name not in names:
            raise KeyError(name)
    return np.array([float(table.get(name, 0.0)) for name in names])
