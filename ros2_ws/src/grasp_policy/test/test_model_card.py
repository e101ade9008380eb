"""The model card beside a policy file."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
import yaml

from grasp_policy.policy_file import PolicyFileError, card_path, companion_folder, read_card, write_card
from grasp_policy.testing import sample_card, write_sample


@pytest.fixture
def policy_path(tmp_path: Path) -> Path:
    return write_sample(tmp_path)


def test_stands_beside_the_policy_by_name() -> None:
    assert card_path("models/student.onnx") == Path("models/student.md")
    assert companion_folder("models/student.onnx") == Path("models/student")


def test_holds_hash_and_size_of_the_policy(policy_path: Path) -> None:
    card = read_card(card_path(policy_path))
    assert card.sha256 == hashlib.sha256(policy_path.read_bytes()).hexdigest()
    assert card.file_bytes == policy_path.stat().st_size


def test_reads_back_what_was_written(policy_path: Path) -> None:
    texts = {"limits": "a: b\n---\n'quoted' # é", "description": "- x", "licence": "yes"}
    card = sample_card(policy_path, scores={"tiny": 1e-7, "whole": 1.0}, figures=("s/c.png",), **texts)
    assert read_card(write_card(policy_path, card)) == card


def test_scores_are_brought_up_to_date_without_touching_the_policy(policy_path: Path) -> None:
    card = read_card(card_path(policy_path))
    write_card(policy_path, dataclasses.replace(card, scores={"success_held_out": 0.9}))
    again = read_card(card_path(policy_path))
    assert again.scores == {"success_held_out": 0.9}
    assert again.sha256 == card.sha256


def test_the_page_shows_scores_commands_and_pictures(policy_path: Path) -> None:
    text = write_card(policy_path, sample_card(policy_path, figures=("sample/curves.png",))).read_text()
    page = text.split("\n---\n", 1)[1]
    assert "| success_held_out | 0.5 |" in page
    assert "grasp distill --teacher runs/teacher" in page
    assert "![curves](sample/curves.png)" in page


def test_a_card_without_front_matter_is_refused(policy_path: Path) -> None:
    card_path(policy_path).write_text("# A policy\n")
    with pytest.raises(PolicyFileError, match="does not start with YAML"):
        read_card(card_path(policy_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "abc"}, "sha256 is 'abc'; expected 64 lower-case hexadecimal digits"),
        ({"card_version": 9}, "card_version is 9; expected 1"),
        ({"training_hours": "long"}, r"training_hours is 'long' \(str\); expected a number"),
        ({"author": "me"}, "author is present"),
    ],
)
def test_a_card_at_fault_names_the_field(policy_path: Path, changes: dict, message: str) -> None:
    path = card_path(policy_path)
    front = yaml.safe_load(path.read_text().split("---\n")[1])
    path.write_text(f"---\n{yaml.safe_dump(front | changes)}---\n")
    with pytest.raises(PolicyFileError, match=message) as caught:
        read_card(path)
    assert str(path) in str(caught.value)


def test_a_card_is_written_only_with_the_types_it_declares(policy_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="training_hours is '3'"):
        write_card(policy_path, sample_card(policy_path, training_hours="3"))
