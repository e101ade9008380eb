"""Forward kinematics and Jacobian of the arm in torch, unrolled over its seven joints so that it can be
exported."""

import mujoco
import torch
from torch import nn

from grasp_description.robot import ARM_JOINTS, PALM_LINK
from grasp_description.urdf import urdf_text

GRASP_POINT = (0.075, 0.0, 0.045)
"""m, in the palm's frame: 75 mm out of the palm (x) and 45 mm towards the fingers (z)."""


class ArmKinematics(nn.Module):
    """Pose and geometric Jacobian of the grasp point, constants read from the URDF."""

    offset: torch.Tensor
    axis: torch.Tensor
    cross: torch.Tensor
    square: torch.Tensor
    tip: torch.Tensor
    palm_rotation: torch.Tensor

    def __init__(self, point: tuple[float, float, float] = GRASP_POINT):
        super().__init__()
        spec = mujoco.MjSpec.from_string(urdf_text())
        spec.compiler.fusestatic = False
        model = spec.compile()
        bodies = [model.joint(name).bodyid[0] for name in ARM_JOINTS]
        self.register_buffer(
            "offset", torch.tensor(model.body_pos[bodies], dtype=torch.float32), persistent=False
        )
        axes = model.jnt_axis[[model.joint(name).id for name in ARM_JOINTS]]
        self.register_buffer("axis", torch.tensor(axes, dtype=torch.float32), persistent=False)
        cross = torch.zeros(len(ARM_JOINTS), 3, 3)
        for index, (x, y, z) in enumerate(axes):
            cross[index] = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        self.register_buffer("cross", cross, persistent=False)
        self.register_buffer("square", cross @ cross, persistent=False)
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        last, palm = bodies[-1], model.body(PALM_LINK).id
        rotation = torch.tensor(data.xmat[palm].reshape(3, 3), dtype=torch.float32)
        tip = torch.tensor(data.xpos[palm] - data.xpos[last], dtype=torch.float32) + rotation @ torch.tensor(
            point
        )
        self.register_buffer("tip", tip, persistent=False)
        self.register_buffer("palm_rotation", rotation, persistent=False)

    def forward(self, joint_position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Kinematics of arm joints (B, 7) in rad.

        Returns:
            Position (B, 3) in m of the grasp point, rotation (B, 3, 3) palm to base, Jacobian (B, 6, 7) of
            the grasp point's linear and angular velocity, all in the base frame.
        """
        sine, cosine = torch.sin(joint_position)[..., None, None], torch.cos(joint_position)[..., None, None]
        local = torch.eye(3, device=joint_position.device) + sine * self.cross + (1.0 - cosine) * self.square
        origins, axes = [], []
        position = self.offset[0].expand(joint_position.shape[0], 3)
        rotation = local[:, 0]
        origins.append(position)
        axes.append(self.axis[0].expand_as(position))
        for joint in range(1, len(ARM_JOINTS)):
            position = position + rotation @ self.offset[joint]
            origins.append(position)
            axes.append(rotation @ self.axis[joint])
            rotation = rotation @ local[:, joint]
        tip = position + rotation @ self.tip
        axis = torch.stack(axes, dim=1)
        linear = torch.linalg.cross(axis, tip[:, None] - torch.stack(origins, dim=1))
        jacobian = torch.cat([linear, axis], dim=2).transpose(1, 2)
        return tip, rotation @ self.palm_rotation, jacobian
