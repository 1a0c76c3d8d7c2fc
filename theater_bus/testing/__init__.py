"""For the tests of plugins and actors: guests, fixtures and harnesses."""
