"""What labels of host names say: how ordinary they are, their order, what they encode."""
