"""What tests of automated labeling share: pictures that a model can tell apart, and the engine step by step."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from sqlalchemy import func, select

from trueground.service.engine import label_rounds
from trueground.service.engine.auto_labeling import AutoLabeling
from trueground.service.engine.finisher import Finisher
from trueground.service.settings import ServiceSettings
from trueground.service.store.database import Database
from trueground.service.store.tables import data_objects, labeling_jobs

MakeRequest = Callable[..., dict[str, Any]]
Truth = Callable[[int], str]
ALGORITHM = "arn:aws:sagemaker:us-east-1:027400017018:labeling-job-algorithm-specification/"
IMAGES = {"LabelingJobAlgorithmSpecificationArn": ALGORITHM + "image-classification"}
LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function:"
WORDS = {"LabelingJobAlgorithmSpecificationArn": ALGORITHM + "text-classification"}
TEXTS = {
    "PreHumanTaskLambdaArn": LAMBDA + "PRE-TextMultiClass",
    "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": LAMBDA + "ACS-TextMultiClass"},
}
CLASSES = ("cat", "dog", "bird")


def truth(position: int) -> str:
    return CLASSES[position * 7 % 3]


def anything(position: int) -> str:
    """What somebody says who does not look."""
    return str(np.random.default_rng([position, 1]).choice(CLASSES))


def picture(position: int) -> bytes:
    """A bar that lies, stands or leans, each a little different."""
    randomness = np.random.default_rng(position)
    image = Image.fromarray(randomness.integers(0, 60, (32, 32, 3), dtype=np.uint8))
    x, y = (int(value) for value in randomness.integers(10, 22, 2))
    ends = {"cat": (-9, 0, 9, 0), "dog": (0, -9, 0, 9), "bird": (-7, -7, 7, 7)}[truth(position)]
    ImageDraw.Draw(image).line([x + ends[0], y + ends[1], x + ends[2], y + ends[3]], fill=(250, 250, 250), width=3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Engine:
    """The background of a service, one step at a time."""

    def __init__(self, db: Database, settings: ServiceSettings) -> None:
        self.db = db
        self.auto = AutoLabeling(db, settings.storage(), settings)
        self._finisher = Finisher(db, settings.storage(), settings)

    def step(self) -> None:
        """Let both do all they can do now."""
        for _ in range(3):
            self._finisher.tick()
            self.settle()
            while not self._finisher.is_idle():
                time.sleep(0.01)
            self._finisher.tick()

    def settle(self) -> None:
        """Settle the round, if all of it is answered and written, and begin the next."""
        self.auto.tick()
        while not self.auto.is_idle():
            time.sleep(0.01)
        self.auto.tick()

    def job(self, name: str = "animals") -> Any:
        with self.db.read() as connection:
            return connection.execute(select(labeling_jobs).where(labeling_jobs.c.name == name)).one()

    def states(self) -> dict[str, int]:
        with self.db.read() as connection:
            query = select(data_objects.c.state, func.count()).group_by(data_objects.c.state)
            return {state: count for state, count in connection.execute(query).all()}

    def rounds(self) -> list[label_rounds.LabelRound]:
        with self.db.read() as connection:
            return label_rounds.read_rounds(connection, self.job().id)
