"""What every server's HTTP answers share: problems, strict bodies, callers."""
