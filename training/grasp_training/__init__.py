"""Training of grasping policies: simulators, the task, learning, export and evaluation."""
