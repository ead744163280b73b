"""The law between servers, kept the same by hub and nodes; pure but for ``peer``."""
