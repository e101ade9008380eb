"""The errors that a user can do something about: the command shows their message without a traceback."""


class GraspError(Exception):
    """What a command was given is wrong or missing: the message names it, its source, what was expected."""
