"""What operators do to a whole server: back up and restore, export and import, look for faults, count anew."""
