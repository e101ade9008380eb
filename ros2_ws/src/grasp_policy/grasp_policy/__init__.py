"""The policy file format (no ROS in it: `grasp_policy.policy_file`) and the inference node."""
