"""What each process does with its records: read records, think, write records."""
