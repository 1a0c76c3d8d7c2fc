"""`theater-bus demo`: the main job in one minute, on real guests and real messages."""
