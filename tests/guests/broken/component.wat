;; A component that exports nothing.
(component
  (core module))
