"""A small recording fake of Isaac Gym: it has the calls that our adapter makes, and no physics.

What it does as the real one is documented to: it refuses to be imported after torch; state that is set takes
effect when it simulates, and of several settings the last alone; joints are in an order of its own. Joints
reach their targets at once, and everything else has values that tests can recognize.
"""

import sys

if "torch" in sys.modules:
    raise ImportError("PyTorch was imported before isaacgym modules")
