"""The mapping to the drivers' orders, and settings that cannot be."""

import numpy as np
import pytest

from grasp_control.config import ControlConfig, GuardConfig
from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, JOINT_NAMES

pytest.importorskip("rclpy")

from grasp_control.parameters import driver_joints


def test_columns_follow_the_drivers_order():
    order = HAND_JOINTS[12:] + HAND_JOINTS[:12]
    driver = driver_joints("hand", list(order), [""])
    assert [JOINT_NAMES[column] for column in driver.columns] == list(order) == list(driver.own_names)


@pytest.mark.parametrize(
    "names", [ARM_JOINTS[:6], (*ARM_JOINTS, "lbr_A1"), (*ARM_JOINTS[:6], "lbr_A8"), HAND_JOINTS[:7]]
)
def test_an_order_that_is_no_permutation_is_refused(names):
    with pytest.raises(ValueError, match="Parameter arm_joints"):
        driver_joints("arm", list(names), [""])


@pytest.mark.parametrize(
    "setting",
    [
        {"command_rate_hz": 5000.0},
        {"target_timeout_s": 0.0},
        {"measurement_timeout_s": -1.0},
        {"arm_speed_rad_s": np.nan},
        {"hand_lead_rad": np.inf},
        {"arm_tracking_rad": 2.0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        ControlConfig(**setting)


@pytest.mark.parametrize(
    "setting",
    [
        {"table_margin_m": -0.01},
        {"workspace_lower_m": (0.0, 0.0, 5.0)},
        {"workspace_upper_m": (1.0, np.nan, 1.0)},
    ],
)
def test_margins_and_corners_that_cannot_be_are_refused(setting):
    with pytest.raises(ValueError, match=r"workspace|margin"):
        GuardConfig(**setting)
