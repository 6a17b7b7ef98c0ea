"""The command line: help with examples, JSON alone on stdout, exit codes, dry runs, and a quick start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from facegen import __version__
from facegen.cli import app
from facegen.tests.command import facegen, only_line, quickstart, states
from facegen.tests.data_paths import shared_path

GROUPS = ["models", "benchmark", "train", "evaluate"]
STAGES = ["sample", "denoise", "compose", "render", "pack"]
COMMANDS = [
    "run",
    *STAGES,
    "plan",
    "status",
    "verify",
    "merge",
    "preview",
    "inspect",
    "compose-sheet",
    "doctor",
    *GROUPS,
]


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str) -> None:
    outcome = facegen(name, "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    if name not in ("doctor", *GROUPS):
        assert f"facegen {name} " in outcome.out.replace("Usage: facegen", "")


def test_every_command_is_known_here() -> None:
    registered = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert registered | {group.name for group in app.registered_groups} == set(COMMANDS)


def test_without_arguments_the_help() -> None:
    outcome = facegen()
    assert "Start with: facegen run quickstart" in outcome.out
    assert outcome.code in (0, 2)


def test_version() -> None:
    assert facegen("--version").out == f"facegen {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("rnu",),
        ("run",),
        ("run", "quickstart"),
        ("run", "quickstart", "--out", "x", "--facez", "3"),
        ("run", "quickstart", "--out", "x", "--faces", "many"),
        ("preview", "x", "--faces", "0"),
        ("benchmark", "render", "--platform", "none"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...]) -> None:
    outcome = facegen(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Usage: facegen" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--faces", "-1"), "quickstart: 'faces': input should be greater than or equal to 1, found -1"),
        (("--faces", "0"), "quickstart: 'faces': input should be greater than or equal to 1, found 0"),
        (("--seed", "-1"), "quickstart: 'seed': input should be greater than or equal to 0, found -1"),
        (
            ("--workers", "-1"),
            "quickstart: 'executor.workers': input should be greater than or equal to 0, found -1",
        ),
        (("--set", "render.size=0"), "quickstart: 'render.size': input should be greater than or equal to 16, found 0"),
        (("--set", "render.sise=64"), "quickstart: unknown key 'render.sise'; did you mean 'size'?"),
        (("--set", "render"), "--set render: expected a.b=value"),
        (("--set", '"a\\nb"=1'), "quickstart: unknown key"),
        (
            ("--set", "sample.grid=[{parameter: pose.yow, values: [1]}]"),
            "sample.grid.0: unknown parameter 'pose.yow'; did you mean 'pose.yaw'?",
        ),
    ],
)
def test_wrong_values(tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    outcome = facegen("run", "quickstart", "--out", tmp_path / "run", *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert only_line(outcome.err).startswith(f"facegen: {line}")
    assert not list(tmp_path.iterdir())


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    outcome = facegen("run", "no such\nname", "--out", "x")
    assert outcome.code == 2
    assert only_line(outcome.err).startswith("facegen: no such name: no such configuration")


@pytest.mark.parametrize("command", ["run", "sample", "render", "pack"])
def test_a_dry_run_writes_nothing(tmp_path: Path, command: str) -> None:
    outcome = quickstart(command, tmp_path / "run", "--dry-run", "--json")
    assert outcome.code == 0
    assert outcome.err == ""
    assert (outcome.json["faces"], outcome.json["shards"], outcome.json["shards_to_do"]) == (48, 3, 3)
    text = quickstart(command, tmp_path / "run", "--dry-run")
    assert (text.code, text.out) == (0, "")
    assert "48 faces in 3 shards, 3 of them to do" in text.err
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_a_finished_run(clean_run: Path) -> None:
    before = states(clean_run)
    assert quickstart("run", clean_run, "--dry-run", "--json").json["shards_to_do"] == 0
    assert quickstart("run", clean_run, "--dry-run", "--json", faces=64).json["shards_to_do"] == 1
    assert states(clean_run) == before


@pytest.mark.parametrize("command", ["status", "verify", "inspect"])
def test_json_is_alone_on_stdout(clean_run: Path, command: str) -> None:
    outcome = facegen(command, clean_run, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert isinstance(json.loads(outcome.out), dict)


def test_json_of_a_run(tmp_path: Path) -> None:
    outcome = quickstart("run", tmp_path / "run", "--json", faces=16)
    assert (outcome.code, outcome.err) == (0, "")
    values = outcome.json
    assert values["complete"] is True
    assert (values["faces"], values["made"], values["failed_faces"], values["failed_shards"]) == (16, 16, [], {})
    assert list(values["cpu_seconds"]) == ["sample", "render", "pack"]


def test_status(clean_run: Path) -> None:
    values = facegen("status", clean_run, "--json").json
    assert values["complete"] is True
    assert values["stages"] == {"pack": {"shards": 3, "faces": 48, "failed_faces": 0}}
    assert "48 faces in 3 shards, complete" in facegen("status", clean_run).out


def test_quiet(tmp_path: Path) -> None:
    outcome = quickstart("run", tmp_path / "run", "--quiet", faces=16)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_run_folder_tells_what_it_is(clean_run: Path) -> None:
    description = yaml.safe_load((clean_run / "run.yaml").read_text())
    assert description["configuration"]["render"]["size"] == 64
    assert description["faces"] == 48
    assert description["fingerprint"] in (clean_run / "README.md").read_text()


@pytest.mark.parametrize("code", ["import facegen", "import facegen.cli", "from facegen.dataset import __all__"])
def test_light_imports(code: str) -> None:
    heavy = (
        {"numba", "scipy", "PIL"}
        if "dataset" in code
        else {"torch", "numba", "numpy", "zarr", "scipy", "PIL", "pydantic"}
    )
    program = f"{code}\nimport sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not heavy & set(loaded)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom facegen.cli import main\nsys.argv = ['facegen', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr.split()
    assert not {"torch", "numba", "numpy", "zarr", "pydantic"} & set(loaded)


def test_a_reader_that_has_seen_enough(clean_run: Path) -> None:
    command = f"{sys.executable} -m facegen inspect {clean_run} | true"
    outcome = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in outcome.stderr
    assert "BrokenPipe" not in outcome.stderr


@pytest.mark.parametrize(("name", "lost"), [("take-with-lost-frames", 35), ("range-of-motion-a", 0)])
def test_lost_frames_and_clipped_weights_are_told(tmp_path: Path, name: str, lost: int) -> None:
    take = shared_path(f"captures/arkit/{name}.csv")
    rows = [line.split(",") for line in take.read_text().splitlines()[1:]]
    whole = [[float(value) for value in row[2:54]] for row in rows if len(row) == 63]
    clipped = sum(not 0 <= value <= 1 for row in whole for value in row)
    assert len(rows) - len(whole) == lost
    law = f"sample.expression={{law: empirical, recordings: ['{take}']}}"
    told = quickstart("run", tmp_path / "run", "--dry-run", "--set", law).err.splitlines()
    assert told[0] == f"{take}: {len(whole):,} frames; {lost} lost ones skipped, {clipped:,} weights clipped to 0 … 1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "absent"), "absent: no such file or folder"),
        (("preview", "absent"), "absent: no such file or folder"),
        (("inspect", "."), "neither a run folder nor a dataset.zarr"),
        (("status", "absent"), "absent: not a run folder (does not exist)"),
    ],
)
def test_what_is_no_run_is_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = facegen(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in only_line(outcome.err)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_channel_is_wrong_use(clean_run: Path, tmp_path: Path) -> None:
    outcome = facegen("preview", clean_run, "--channels", "depht", "--out", tmp_path / "sheet.png")
    assert outcome.code == 2
    assert "'depht'" in only_line(outcome.err)
    assert list(tmp_path.iterdir()) == []
