"""What runs inside Isaac Gym's own interpreter: Python 3.8, the standard library, numpy, torch and isaacgym.

Nothing here imports anything else of ours. The other side of the bridge imports ``protocol`` alone.
This folder is a package of its own in that interpreter, hence the short name in imports.
"""
