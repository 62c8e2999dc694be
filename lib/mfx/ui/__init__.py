"""`mfx ui`: a page on this machine that shows runs; it changes nothing and asks no network."""
