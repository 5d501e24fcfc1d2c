"""What every package needs: errors, keys, progress, provenance, statistics, storage, processes."""
