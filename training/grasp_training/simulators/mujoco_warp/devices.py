"""One device under Torch's name and Warp's, and the order of their work on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import warp

from grasp_training.devices import named_device
from grasp_training.runs import ConfigurationError


def simulation_device(name: str) -> torch.device:
    """The device called ``cpu``, ``cuda`` or ``cuda:N``; ``cuda`` is a rank's own, by its local number.

    Raises:
        ConfigurationError: another name, or the device is not there.
    """
    device = named_device(name, "task.warp.device")
    if device.type == "cuda" and not warp.is_cuda_available():
        raise ConfigurationError(f"task.warp.device is '{name}', but Warp finds no CUDA device here")
    return device


class WarpDevice:
    """Runs Warp's work on a device of Torch's, in order with Torch's own.

    Args:
        device: where.
    """

    def __init__(self, device: torch.device):
        self.device = device

    @contextmanager
    def active(self) -> Iterator[None]:
        """Around work of Warp's: it begins after what Torch was given before, and what Torch is given
        afterwards begins after it. Waits nowhere on the host."""
        with warp.ScopedDevice(str(self.device)):
            if self.device.type == "cpu":
                yield
                return
            ours, theirs = warp.get_stream(), warp.stream_from_torch(self.device)
            ours.wait_stream(theirs)
            yield
            theirs.wait_stream(ours)

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        """The same work, to be run within ``active``: on CUDA as one graph, elsewhere as it is.

        ``work`` must have run before, so that its kernels are there, and has to be the same each time: the
        same arrays, no decision on the host.
        """
        if self.device.type == "cpu":
            return work
        with warp.ScopedCapture(device=str(self.device)) as capture:
            work()
        graph = capture.graph
        assert graph is not None
        return lambda: warp.capture_launch(graph)
