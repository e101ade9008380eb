"""Our trainings beside other systems', on the same task, machine and sizes: `python -m …benchmarks.peers`.

Every system trains a teacher on `grasp_training.tasks.GraspEnv` with the settings of `grasp train teacher`'s
preset `cpu`: environments, steps of a rollout, epochs, mini-batches, widths of networks. They take turns,
each in a process of its own, so that what else the machine does meets all of them.

- *rsl_rl alone*: rsl_rl's `OnPolicyRunner`, PPO, models and storage on the environments, in one process; it
  logs nothing.
- *Sample Factory*: its asynchronous PPO with rollout workers, an inference worker and a learner, each a
  process; batched, double-buffered sampling; its defaults where nothing below says otherwise.
- *ours*: the command `grasp train teacher`, with its logs: in one process, and 1:1 overlapped.

**Settings of Sample Factory.** One and two rollout workers, with two threads of physics or one each; the
faster counts. Mini-batches are not shuffled, and two rollouts may wait for the learner, as is its default:
both make it faster than the others, and its policies older. Actor and critic have weights of their own,
returns are not normalized and the learning rate adapts, as for the others.

**Depth.** The actor sees proprioception and a depth image, the critic the state. The peers have neither
memory nor an estimate of the object's position; so ours trains without them too (`--depth.memory-size 0`,
`--depth.position-weight 0`). The peers' encoders are convolutions of our encoder's channels and strides,
flat into the hidden layers: rsl_rl's `CNNModel`, and the same in Sample Factory.

**An environment for Sample Factory.** Sample Factory 2.1.1 wants numpy below 2, which constraints.txt has up
to Python 3.12 only, and gymnasium below 1, so it lives in a virtual environment of its own, together with our
packages, which work with that numpy:

    python3.11 -m venv peers-env
    peers-env/bin/pip install torch==2.13.0
    peers-env/bin/pip install --only-binary :all: sample-factory==2.1.1 mujoco==4.0.0 \\
        mujoco-warp==4.0.0 warp-lang==1.19.0 rsl-rl-lib==5.5.1 tensordict==0.15.3 \\
        -e ros2_ws/src/grasp_description -e ros2_ws/src/grasp_policy -e training
    python -m grasp_training.benchmarks.peers --output peers --sample-factory-python peers-env/bin/python

Versions are those of constraints.txt, but for numpy on Python 3.13 and newer; every training's are written
beside its figures.
`--only-binary` keeps pip from building older releases as it looks for versions that agree. Nothing of Sample
Factory had to be changed.
"""

from grasp_training.benchmarks.peers.job import Job, Updates, steps_per_s

__all__ = ["Job", "Updates", "steps_per_s"]
