"""The hub: it decides every transfer and nets the groups to zero."""
