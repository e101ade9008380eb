"""Faults injected into the running graph, and the table of what the robot did: ``python -m fault_table``.

Every node runs in a process of its own. What the simulator says and hears, and the targets that the command
node hears, go through a relay that can spoil each message; processes are stopped, killed and started again.
"""
