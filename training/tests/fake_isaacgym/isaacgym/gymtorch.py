"""Tensors of the fake are torch's own."""


def wrap_tensor(tensor):
    return tensor


def unwrap_tensor(tensor):
    assert tensor.is_contiguous()
    return tensor
