"""The URDF as ROS reads it: by `check_urdf` of urdfdom (apt: liburdfdom-tools; pip: cmeel-urdfdom)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grasp_description.robot import ARM_JOINTS, PALM_LINK
from grasp_description.urdf import urdf_path, urdf_text

# Where pip puts it, and where apt does.
PLACES = (str(Path(sys.executable).parent), None)
COMMAND = next(filter(None, (shutil.which("check_urdf", path=place) for place in PLACES)), None)
pytestmark = pytest.mark.skipif(
    COMMAND is None,
    reason="check_urdf is not installed: the URDF was NOT checked by urdfdom (apt install liburdfdom-tools)",
)


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    """What check_urdf says to a file."""
    assert COMMAND is not None
    return subprocess.run([COMMAND, str(path)], capture_output=True, text=True, check=False)


def test_check_urdf_finds_one_tree_from_the_base_to_every_fingertip():
    found = checked(urdf_path())
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    assert "root Link: lbr_link_0 has 1 child(ren)" in found.stdout
    assert f"{PALM_LINK}\n" in found.stdout
    assert [found.stdout.count(f"{finger}_tip") for finger in ("index", "middle", "ring", "thumb")] == [1] * 4


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        (f'<link name="{PALM_LINK}"', '<link name="another"'),
        (f'<joint name="{ARM_JOINTS[1]}"', f'<joint name="{ARM_JOINTS[0]}"'),
        ('type="revolute"', 'type="elastic"'),
    ],
    ids=["a joint to no link", "a joint's name twice", "an unknown kind of joint"],
)
def test_check_urdf_refuses_what_is_wrong(tmp_path, text, instead):
    assert text in urdf_text()
    spoilt = tmp_path / "spoilt.urdf"
    spoilt.write_text(urdf_text().replace(text, instead, 1), encoding="utf-8")
    assert checked(spoilt).returncode != 0
