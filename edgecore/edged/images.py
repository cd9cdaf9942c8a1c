"""Image pull policies and the back-off between failed pulls, shared by all pods of the node."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from edgecore.edged.runtime.engine import Credentials, Engine, ImagePullFailed
from kube.objects import Object

log = logging.getLogger(__name__)

FIRST: Final = 10.0
LIMIT: Final = 300.0
REMEMBERED: Final = 1000
"""Images with a failure on record; the oldest is forgotten beyond that."""


class ImageProblem(Exception):
    """The image is not there. reason: a waiting reason; retry_at: seconds since the epoch."""

    def __init__(self, text: str, *, reason: str, retry_at: float) -> None:
        super().__init__(text)
        self.reason = reason
        self.retry_at = retry_at


@dataclass
class _Failure:
    count: int
    retry_at: float
    text: str
    reason: str


def pull_policy(container: Object) -> str:
    """``Always``, ``IfNotPresent`` or ``Never``; by the tag when the API server did not set it."""
    if (policy := container.get("imagePullPolicy")) in ("Always", "IfNotPresent", "Never"):
        return str(policy)
    image = str(container.get("image") or "")
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if colon and tag != "latest" else "Always"


class ImagePuller:
    """Pulls one image at a time (``serializeImagePulls``) or several different ones, never the same one twice at once."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float], serialize: bool = True) -> None:
        self._engine = engine
        self._clock = clock
        self._slots = trio.CapacityLimiter(1 if serialize else 4)
        self._failures: dict[str, _Failure] = {}

    async def ensure(self, image: str, policy: str, credentials: Sequence[Credentials] = ()) -> None:
        """Returns when a container can be made from the image.

        Raises ImageProblem, EngineError.
        """
        present = await self._engine.image_present(image)
        if present and policy != "Always":
            return
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            raise ImageProblem(text, reason="ErrImageNeverPull", retry_at=self._clock() + FIRST)
        async with self._slots:
            self._refuse_early(image)
            if policy != "Always" and await self._engine.image_present(image):
                return  # another pod's pull brought it meanwhile
            await self._pull(image, credentials, known=present)

    def _refuse_early(self, image: str) -> None:
        known = self._failures.get(image)
        if known is None or not self._clock() < known.retry_at < self._clock() + 2 * LIMIT:  # beyond: the clock was set back
            return
        text = f'Back-off pulling image "{image}": {known.reason}: {known.text}'
        reason = known.reason if known.reason == "InvalidImageName" else "ImagePullBackOff"
        raise ImageProblem(text, reason=reason, retry_at=known.retry_at)

    async def _pull(self, image: str, credentials: Sequence[Credentials], *, known: bool) -> None:
        """Who asked for it logs a failure: there it has a pod's name. known: it was here, and is only asked for again."""
        started = trio.current_time()
        try:
            await self._engine.pull_image(image, credentials)
        except ImagePullFailed as error:
            failure = self._remember(image, str(error), error.reason)
            log.debug("image %s: %s; the next try is in %.0f s", image, error, failure.retry_at - self._clock())
            # The back-off itself is shown soon after the error, as users know it from kubelet.
            raise ImageProblem(str(error), reason=error.reason, retry_at=self._clock() + 2.0) from error
        self._failures.pop(image, None)
        level = logging.DEBUG if known else logging.INFO
        log.log(level, "image %s pulled in %.1f s", image, trio.current_time() - started)

    def _remember(self, image: str, text: str, reason: str) -> _Failure:
        count = self._failures.pop(image).count + 1 if image in self._failures else 1
        delay = min(LIMIT, FIRST * 2.0 ** min(count - 1, 16))
        self._failures[image] = _Failure(count, self._clock() + delay, text, reason)
        if len(self._failures) > REMEMBERED:
            del self._failures[next(iter(self._failures))]
        return self._failures[image]
