"""The stories of recovery, deterministic and durable."""
