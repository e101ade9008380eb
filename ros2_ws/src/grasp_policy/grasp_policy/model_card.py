"""The model card beside a policy file: ``NAME.md`` beside ``NAME.onnx``.

YAML front matter holds every fact (strictly typed, like the policy's own metadata); the page below it is
made from these facts for people to read. Curves and the run's configuration live in the folder ``NAME/``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from grasp_policy.errors import PolicyFileError
from grasp_policy.files import write_atomically
from grasp_policy.strict_fields import from_plain, to_plain

__all__ = ["CARD_VERSION", "ModelCard", "card_path", "companion_folder", "read_card", "write_card"]

CARD_VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """How a policy came about and what it scored. `ModelCard.for_policy` fills in name, hash and size."""

    card_version: int
    """Version of this card's layout; `CARD_VERSION` is the only one read."""
    name: str
    """Name of the policy: its file is ``NAME.onnx``."""
    sha256: str
    """SHA-256 of the policy file, 64 lower-case hexadecimal digits."""
    file_bytes: int
    """Size of the policy file, in bytes; tells a truncated file from a tampered one."""
    licence: str
    """Licence of the weights, an SPDX identifier."""
    description: str
    """What the policy does, in a sentence."""
    trained_how: str
    """Method: algorithm, teacher, randomization."""
    trained_on: str
    """Data and hardware: simulator, objects, machine."""
    training_hours: float
    """Wall-clock time of training, teacher included, in hours."""
    environment_steps: int
    """Control steps simulated in training, teacher included."""
    scores: dict[str, float]
    """Scores by name, such as ``success_held_out``; shares are 0 to 1."""
    commands: tuple[str, ...]
    """The commands that made it, in order."""
    limits: str
    """What it was not trained or tested for."""
    figures: tuple[str, ...]
    """Pictures in the companion folder, as paths relative to the card."""

    def __post_init__(self) -> None:
        if self.card_version != CARD_VERSION:
            raise PolicyFileError.mismatch("card_version", self.card_version, CARD_VERSION)
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise PolicyFileError.mismatch("sha256", repr(self.sha256), "64 lower-case hexadecimal digits")

    @classmethod
    def for_policy(
        cls,
        policy: Path | str,
        *,
        licence: str,
        description: str,
        trained_how: str,
        trained_on: str,
        training_hours: float,
        environment_steps: int,
        scores: dict[str, float],
        commands: tuple[str, ...],
        limits: str,
        figures: tuple[str, ...] = (),
    ) -> ModelCard:
        """A card for the policy file as it is on the disk now.

        Raises:
            OSError: the policy file cannot be read.
        """
        path = Path(policy)
        content = path.read_bytes()
        return cls(
            card_version=CARD_VERSION,
            name=path.stem,
            sha256=hashlib.sha256(content).hexdigest(),
            file_bytes=len(content),
            licence=licence,
            description=description,
            trained_how=trained_how,
            trained_on=trained_on,
            training_hours=training_hours,
            environment_steps=environment_steps,
            scores=scores,
            commands=commands,
            limits=limits,
            figures=figures,
        )


def card_path(policy: Path | str) -> Path:
    """Where the card of a policy file is: ``models/NAME.md`` for ``models/NAME.onnx``."""
    return Path(policy).with_suffix(".md")


def companion_folder(policy: Path | str) -> Path:
    """Where curves and configuration of a policy are: ``models/NAME/`` for ``models/NAME.onnx``."""
    return Path(policy).with_suffix("")


def write_card(policy: Path | str, card: ModelCard) -> Path:
    """Write the card of a policy file beside it, atomically, and return its path.

    Raises:
        PolicyFileError: a field of the card has another type than declared.
        OSError: the folder cannot be written.
    """
    path = card_path(policy)
    plain = to_plain(card)
    try:
        from_plain(ModelCard, plain)
    except PolicyFileError as error:
        raise error.within(path) from None
    front = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    write_atomically(path, f"---\n{front}---\n\n{_page(card)}".encode())
    return path


def read_card(path: Path | str) -> ModelCard:
    """Read a card (the ``.md`` file; see `card_path`).

    Raises:
        PolicyFileError: there is no card, no front matter, or a field unknown, missing or of another type.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = "the model card is missing; every policy file has its card (NAME.md) beside NAME.onnx"
        raise PolicyFileError(message, source=path, field="model card", expected=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFileError(f"the model card cannot be read: {error}", source=path) from error
    match = re.match(r"---\r?\n(.*?)^---\s*$", text, flags=re.DOTALL | re.MULTILINE)
    if match is None:
        raise PolicyFileError("the model card does not start with YAML between two lines of ---", source=path)
    try:
        return from_plain(ModelCard, yaml.safe_load(match.group(1)))
    except yaml.YAMLError as error:
        raise PolicyFileError(f"the model card's front matter is not YAML: {error}", source=path) from error
    except PolicyFileError as error:
        raise error.within(path) from None


def _page(card: ModelCard) -> str:
    scores = "\n".join(f"| {name} | {value:g} |" for name, value in card.scores.items())
    commands = "\n".join(card.commands)
    figures = "".join(f"\n![{Path(figure).stem}]({figure})\n" for figure in card.figures)
    return f"""# {card.name}

{card.description}

| score | value |
| --- | --- |
{scores}

**How.** {card.trained_how}

**On what.** {card.trained_on}

**How long.** {card.training_hours:g} hours, {card.environment_steps:,} control steps simulated.

**Limits.** {card.limits}

```bash
{commands}
```
{figures}
Licence of the weights: {card.licence}. Not a safety function: the robot's own safety controller is.
"""
