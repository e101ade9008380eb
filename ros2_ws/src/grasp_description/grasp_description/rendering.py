"""Batched stereo images from geom poses, by MuJoCo Warp's ray tracer on the CPU.

One renderer serves training and the simulator node, so that a policy sees the same images in both. It draws
the scene of ``slots``; geoms of an object slot that are not in use are put out of sight.
"""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

import mujoco
import numpy as np

from grasp_description.cameras import CAMERA_NAMES, STEREO_RIG, StereoRig
from grasp_description.scene import OBJECT_GEOMS
from grasp_description.slots import SLOT_TYPES, build_slot_model

_OUT_OF_SIGHT = np.array([0.0, 0.0, -50.0])

generating_kernels = threading.Lock()
"""To be held wherever MuJoCo Warp may generate kernels: on a context's first rendering, a model's first step.
Warp's code generation is not safe in several threads at once: a kernel can come out that leaves a type of
geom out of every image."""


@dataclass(frozen=True)
class SceneState:
    """What one batch of images shows; n worlds, g geoms of the scene of ``build_model``, SI units, base
    frame."""

    geom_xpos: np.ndarray
    """(n, g, 3) m"""
    geom_xmat: np.ndarray
    """(n, g, 9) or (n, g, 3, 3)"""
    object_type: np.ndarray
    """(n, MAX_PARTS) mjtGeom of the object's slots; any other type than those of SLOT_TYPES leaves the slot
    empty"""
    object_size: np.ndarray
    """(n, MAX_PARTS, 3) m, MuJoCo's conventions"""
    geom_rgba: np.ndarray
    """(n, g, 4)"""
    camera_position: np.ndarray
    """(n, 2, 3) m, left and right"""
    camera_rotation: np.ndarray
    """(n, 2, 3, 3), camera (x right, y up, z backward) to base"""
    light_position: np.ndarray
    """(n, 3) m"""
    light_direction: np.ndarray
    """(n, 3) unit vector"""
    light_diffuse: np.ndarray
    """(n, 3) colour"""


class StereoRenderer:
    """Renders RGB (and depth) of both cameras for a batch of worlds.

    Args:
        num_worlds: worlds a call to ``render`` has.
        rig: image size and field of view.
        threads: how many chunks of worlds to trace at the same time (the ray tracer itself is serial on a
        CPU).
        depth: whether to produce depth images too.
        rgb: whether to produce colour images; without, the left camera alone is traced, in a third of the
        time.
        shadows: whether the light casts shadows (40 % more time).
    """

    def __init__(
        self,
        num_worlds: int,
        rig: StereoRig = STEREO_RIG,
        threads: int = 1,
        depth: bool = False,
        shadows: bool = False,
        rgb: bool = True,
    ):
        if num_worlds < 1:
            raise ValueError(f"StereoRenderer got num_worlds={num_worlds}; expected at least 1")
        threads = max(1, min(threads, num_worlds))
        bounds = np.linspace(0, num_worlds, threads + 1).astype(int)
        if not rgb and not depth:
            raise ValueError("StereoRenderer got rgb=False and depth=False; expected one of them at least")
        self.rig, self.num_worlds, self.rgb, self.depth = rig, num_worlds, rgb, depth
        self._slices = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        self._tracers = [_RayTracer(int(s.stop - s.start), rig, rgb, depth, shadows) for s in self._slices]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def render(self, state: SceneState) -> tuple[np.ndarray, np.ndarray | None]:
        """Images of all worlds.

        Returns:
            rgb: uint8 (n, 2, H, W, 3), left then right; (n, 0, H, W, 3) without colour. depth: float32
            (n, 2, H, W) along the optical axis in m, 0 where nothing was hit; (n, 1, H, W) of the left camera
            without colour; None unless asked for.
        """
        n, rig = self.num_worlds, self.rig
        if len(state.geom_xpos) != n:
            raise ValueError(f"StereoRenderer got {len(state.geom_xpos)} worlds; it was built for {n}")
        rgb = np.empty((n, 2 if self.rgb else 0, rig.height, rig.width, 3), np.uint8)
        cameras = 2 if self.rgb else 1
        depth = np.empty((n, cameras, rig.height, rig.width), np.float32) if self.depth else None
        jobs = list(zip(self._tracers, self._slices, strict=True))
        # Warp's device is the process's, not the thread's: set here, around all threads.
        with _on_cpu():
            if self._pool is None:
                for tracer, part in jobs:
                    tracer.render(state, part, rgb, depth)
            else:
                for future in [
                    self._pool.submit(tracer.render, state, part, rgb, depth) for tracer, part in jobs
                ]:
                    future.result()
        return rgb, depth


def _on_cpu() -> AbstractContextManager:
    # Imported here: Warp takes a second to start, and only rendering needs it.
    import warp

    return warp.ScopedDevice("cpu")


class _RayTracer:
    """One MuJoCo Warp render context over a chunk of worlds."""

    def __init__(self, num_worlds: int, rig: StereoRig, rgb: bool, depth: bool, shadows: bool):
        # Imported here: Warp takes a second to start, and only rendering needs it.
        import warp

        warp.config.log_level = warp.LOG_WARNING
        import mujoco_warp

        self._mjw, self._rig = mujoco_warp, rig
        scene = build_slot_model(rig=rig)
        model, self._source, self._slots = scene.model, scene.source, scene.slots
        with generating_kernels, _on_cpu():
            self._model = mujoco_warp.put_model(model)
            self._data = mujoco_warp.make_data(model, nworld=num_worlds, nconmax=1, njmax=1)
            shape = (num_worlds, model.ngeom)
            self._model.geom_size = warp.array(np.tile(model.geom_size, (num_worlds, 1, 1)), dtype=warp.vec3)
            self._model.geom_rgba = warp.array(np.tile(model.geom_rgba, (num_worlds, 1, 1)), dtype=warp.vec4)
            self._model.light_diffuse = warp.array(
                np.tile(model.light_diffuse, (num_worlds, 1, 1)), dtype=warp.vec3
            )
            self._context = mujoco_warp.create_render_context(
                model,
                nworld=num_worlds,
                cam_res=(rig.width, rig.height),
                render_rgb=rgb,
                render_depth=depth,
                cam_active=[0, 1] if rgb else [0],
                use_textures=False,
                use_shadows=shadows,
                enabled_geom_groups=list(range(6)),
            )
            self._trace()
        self._size, self._rgba = self._model.geom_size.numpy(), self._model.geom_rgba.numpy()
        self._diffuse = self._model.light_diffuse.numpy()
        self._xpos = self._data.geom_xpos.numpy()
        self._xmat = self._data.geom_xmat.numpy().reshape(*shape, 3, 3)
        self._camera_xpos, self._camera_xmat = self._data.cam_xpos.numpy(), self._data.cam_xmat.numpy()
        self._light_xpos, self._light_xdir = self._data.light_xpos.numpy(), self._data.light_xdir.numpy()

    def render(self, state: SceneState, part: slice, rgb: np.ndarray, depth: np.ndarray | None) -> None:
        self._assign(state, part)
        self._trace()
        count, rig = part.stop - part.start, self._rig
        # Each pixel is one uint32 0xAABBGGRR or 0xAARRGGBB; its bytes are reordered without arithmetic.
        if rgb.shape[1]:
            packed = self._context.rgb_data.numpy().view(np.uint8).reshape(count, 2, rig.height, rig.width, 4)
            rgb[part] = packed[..., 2::-1]
        if depth is not None:
            depth[part] = self._context.depth_data.numpy().reshape(count, -1, rig.height, rig.width)

    def _trace(self) -> None:
        self._mjw.refit_bvh(self._model, self._data, self._context)
        self._mjw.render(self._model, self._data, self._context)

    def _assign(self, state: SceneState, part: slice) -> None:
        """Copy the scene into the ray tracer's arrays (numpy views of Warp's memory on the CPU)."""
        source = self._source
        self._xpos[:, :] = state.geom_xpos[part][:, source]
        self._xmat[:, :] = state.geom_xmat[part].reshape(part.stop - part.start, -1, 3, 3)[:, source]
        self._rgba[:, :] = state.geom_rgba[part][:, source]
        for slot, geoms in enumerate(self._slots):
            for kind, geom in zip(SLOT_TYPES, geoms, strict=True):
                unused = state.object_type[part][:, slot] != int(kind)
                self._size[:, geom] = state.object_size[part][:, slot]
                self._xpos[unused, geom] = _OUT_OF_SIGHT
        self._camera_xpos[:, :] = state.camera_position[part]
        self._camera_xmat[:, :] = state.camera_rotation[part]
        self._light_xpos[:, 0] = state.light_position[part]
        self._light_xdir[:, 0] = state.light_direction[part]
        self._diffuse[:, 0] = state.light_diffuse[part]


def nominal_scene(model: mujoco.MjModel, data: mujoco.MjData, rig: StereoRig = STEREO_RIG) -> SceneState:
    """One world as it stands in ``data`` (whose kinematics are current), with nominal cameras, light and
    colours."""
    slots = [model.geom(name).id for name in OBJECT_GEOMS]
    return SceneState(
        geom_xpos=data.geom_xpos[None],
        geom_xmat=data.geom_xmat[None],
        object_type=model.geom_type[slots][None],
        object_size=model.geom_size[slots][None],
        geom_rgba=model.geom_rgba[None],
        camera_position=rig.positions()[None],
        camera_rotation=np.broadcast_to(rig.rotation(), (1, len(CAMERA_NAMES), 3, 3)),
        light_position=model.light_pos[:1],
        light_direction=model.light_dir[:1],
        light_diffuse=model.light_diffuse[:1],
    )
