"""The promised times of a show's alerts, on the show's own clock: nobody waits."""

from __future__ import annotations

from streamer.config import Model
from streamer.demo import streams
from streamer.demo.promises import FIRST_ALERT_S, RHYTHM_ALERT_S
from streamer.demo.recording import Heard, Notebook
from streamer.demo.referee import Rulings, rule
from streamer.demo.show import WARMING_S, Script
from streamer.detect.pipeline import Detector
from streamer.runtime.model import load_model
from tests.demo.test_programme import Wall


def played(seed: int, until_s: float) -> Rulings:
    """The plant of a minute's show, judged as fast as it goes; alerts are heard when the show's
    clock says so.
    """
    wall, notebook, loaded = Wall(), Notebook(), load_model(Model(backend="numpy"))
    pace = streams.PlantPace(clock=wall, wait=wall.wait)
    act = streams.plant_act(seed, pace, Script(60.0).live_seconds)
    detector = Detector(act.settings, loaded.network, loaded.spec, loaded.prior, 0)
    heard: list[Heard] = []
    while wall.now_s + WARMING_S < until_s and (poll := act.source.poll(1.0)) is not None:
        for batch in poll.batches:
            judged = detector.process(batch)
            notebook.write(batch, judged.scores, 0)
            told = judged.alerts + detector.tick(float(batch.time_s.max()))
            heard += [Heard(alert, wall.now_s + WARMING_S) for alert in told]
    return rule(act.faults(), heard, notebook, act.grace, act.live_start_s)


def test_the_first_fault_and_the_first_of_the_rhythm_are_told_in_time() -> None:
    found = played(0, RHYTHM_ALERT_S)
    first = [one.heard.at_s for one in found.rulings if one.heard]
    rhythm = [one.heard.at_s for one in found.rulings if one.heard and one.by_rhythm]
    assert min(first) <= FIRST_ALERT_S
    assert min(rhythm) <= RHYTHM_ALERT_S
