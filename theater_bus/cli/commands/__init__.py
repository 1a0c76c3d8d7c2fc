"""The commands, one module each; its `command` is what `theater_bus.cli.main` imports when it is called."""
