"""The event chain: what is recorded, how it is hashed, and how it is checked. Import from the modules of this package.

`writer` and `recording` make segments; `events`, `bodies`, `control` and `layout` are their bytes; `segments` and
`batch` what travels; `verify`, `describe` and `restore` read it back.
"""
