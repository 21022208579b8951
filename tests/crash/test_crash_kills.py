"""The real command, killed with SIGKILL at random moments and run again until its job is done."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
from crashing import FIGURES, Disk, Scene, make_job

import batchgen

KILLS = 200
TASKS = 60
IN_FLIGHT = 4


class Command:
    """`python -m batchgen run` on one job file."""

    def __init__(self, scene):
        file = scene.folder.parent / "job.yaml"
        file.write_text(json.dumps(scene.job))  # JSON is YAML
        self._arguments = [sys.executable, "-m", "batchgen", "run", str(file)]
        self._env = {**os.environ, "PYTHONPATH": str(Path(batchgen.__file__).parents[1])}

    def run(self, seconds):
        """Its exit code; None if it had to be killed after this time."""
        with subprocess.Popen(
            self._arguments, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                return None


class Count:
    """What the kills of one job cost, by the simulator's books and the bytes on the disk."""

    def __init__(self, scene):
        self.scene = scene
        self.lost = 0
        """Charges whose image was nowhere on the disk after the kill that they met."""
        self._seen = 0

    def look(self):
        """What is charged and not on the disk was in flight, and was no more than may be."""
        while self.scene.simulator.in_flight():
            time.sleep(0.01)  # the service ends what it began, and nobody tells us when
        images = Disk.read(self.scene.folder).images()
        charges = self.scene.charges()
        lost = [each for each in charges[self._seen :] if each.image_sha256 not in images]
        assert len(lost) <= IN_FLIGHT
        self.lost += len(lost)
        self._seen = len(charges)

    def check(self):
        """Everything delivered is there and on record; only what was in flight was paid twice."""
        disk = Disk.read(self.scene.folder)
        disk.check_records()
        charges = self.scene.charges()
        assert len(disk.succeeded()) == len({each.body_sha256 for each in charges}) == TASKS
        assert {each.image_sha256 for each in charges} <= disk.images()
        assert len(charges) == TASKS + self.lost
        assert not disk.leftovers()


def batter(scene, luck, kills):
    """Kill the job's runs until one gets through, at most so often; how often it was."""
    command, counted, killed = Command(scene), Count(scene), 0
    while True:
        code = command.run(60 if killed >= kills else luck.uniform(0.3, 2.5))
        counted.look()
        if code is not None:
            assert code == 0
            counted.check()
            FIGURES["paid twice after random kills"] += counted.lost
            return killed
        killed += 1


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_kills_at_random_moments(nursery, slow_books, tmp_path):
    """Nothing delivered is lost; a kill costs at most the calls in flight."""
    luck = random.Random(2026)
    kills = 0
    for number in count():
        if kills >= KILLS:
            return
        slow_books.reset()
        folder = tmp_path / str(number) / "out"
        folder.parent.mkdir()
        prompts = [f"mug {number} {n}" for n in range(TASKS)]
        limits = {"concurrency": IN_FLIGHT}
        job = make_job(folder, prompts, endpoint=slow_books.url, limits=limits)
        killed = batter(Scene(nursery, job, slow_books), luck, KILLS - kills)
        kills += killed
        FIGURES["random kills survived"] += killed
        FIGURES["jobs finished after random kills"] += 1
        shutil.rmtree(folder.parent)
