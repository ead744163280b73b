"""How a node watches its hub, so that nobody here has to trust it.

It reads what the hub publishes, joins it to what was believed before and compares
it with what was said on the link; what it finds goes through the clerk.
"""
