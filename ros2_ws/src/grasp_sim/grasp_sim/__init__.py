"""MuJoCo in place of the robot's drivers and cameras: the same topics, plus /clock.

Importing the package loads neither ROS nor MuJoCo; each module says what it needs.
"""
