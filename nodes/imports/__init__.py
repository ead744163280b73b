"""Files of other programs, read into members."""
