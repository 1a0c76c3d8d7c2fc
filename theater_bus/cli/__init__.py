"""The command line: `theater-bus`, also `tbus`. One module per command, imported when it is called."""
