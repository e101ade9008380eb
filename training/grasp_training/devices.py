"""Devices by the names that users give them."""

import os

import torch

from grasp_training.runs import ConfigurationError


def named_device(name: str, setting: str) -> torch.device:
    """The device called ``cpu``, ``cuda`` or ``cuda:N``; ``cuda`` is a rank's own, by its local number.

    Args:
        name: the device's name.
        setting: the setting that names it, for messages.

    Raises:
        ConfigurationError: another name, or the device is not there.
    """
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()) or name.endswith(":"):
        raise ConfigurationError(f"{setting} is '{name}'; expected cpu, cuda or cuda:N")
    count = cuda_devices()
    if not count:
        raise ConfigurationError(
            f"{setting} is '{name}', but torch finds no CUDA device here (torch {torch.__version__})"
        )
    index = int(number) if number else _own_device(count)
    if index >= count:
        raise ConfigurationError(
            f"{setting} is '{name}', but there are {count} CUDA devices; expected cuda:0 to cuda:{count - 1}"
        )
    return torch.device("cuda", index)


def cuda_devices() -> int:
    """Return the number of CUDA devices that torch finds here."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _own_device(count: int) -> int:
    """Number of this process's device: torchrun tells a rank its local number."""
    local = os.environ.get("LOCAL_RANK")
    return torch.cuda.current_device() if local is None else int(local) % count
