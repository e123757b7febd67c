"""Laws of deploy/kubernetes: the job runs the command there is, as an unprivileged user, within its
own limits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from streamer.cli.main import COMMANDS, load
from streamer.config import Retrain
from streamer.config.units import Size

ROOT = Path(__file__).parents[2]
JOB: dict[str, Any] = yaml.safe_load((ROOT / "deploy/kubernetes/retrain.yaml").read_text())
POD: dict[str, Any] = JOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]


def test_the_command_and_its_flags_exist() -> None:
    name, *words = CONTAINER["args"]
    command = load(COMMANDS[name])
    flags = {
        flag for param in command.params if isinstance(param, click.Option) for flag in param.opts
    }
    assert {word for word in words if word.startswith("-")} <= flags


def test_its_schedule_and_zone_are_ones_that_our_own_schedule_takes() -> None:
    spec = JOB["spec"]
    assert (
        Retrain.model_validate({"cron": spec["schedule"], "timezone": spec["timeZone"]}).cron
        == spec["schedule"]
    )


def test_the_container_leaves_room_for_the_trainings_own_limits() -> None:
    limits = Retrain().limits
    assert Size.parse(CONTAINER["resources"]["limits"]["memory"] + "B") > limits.memory
    assert JOB["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] > limits.time + 900


def test_it_may_do_nothing_but_train() -> None:
    assert POD["securityContext"]["runAsNonRoot"] and not POD["automountServiceAccountToken"]
    context = CONTAINER["securityContext"]
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"]["drop"] == ["ALL"]


def test_two_never_run_at_once_and_a_refusal_is_not_tried_again() -> None:
    assert JOB["spec"]["concurrencyPolicy"] == "Forbid"
    assert JOB["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
