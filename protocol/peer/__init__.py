"""What a hub and a node share to run: database, clerk, courier, endpoint."""
