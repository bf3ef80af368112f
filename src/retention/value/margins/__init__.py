"""What a purchase day brings: margin models that allow returns and losses."""
