;; A component, which is another kind of WebAssembly binary.
(component
  (core module))
