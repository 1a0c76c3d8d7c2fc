// The actor of counter.pact in Go, against the canonical ABI: Go has no target for components, only wasip1, whose
// exports are plain functions. `wasm-tools component new` makes the component of it.
//
// A function gets its parameters flat (a record is its fields, an option a flag and its content) and answers with the
// address of its result. What the host puts into memory is allocated by `cabi_realloc`; once it has read a result, it
// calls `cabi_post_…`, and nothing of the call is needed any more. Neither may call out, and Go's own allocator does: its
// collector asks for the time. Hence `space`. Addresses have 32 bits, a pointer of Go's has 64.
package main

import "unsafe"

type text struct {
	at, size uint32
}

type tally struct {
	count uint64
	given bool
	last  text
	_     uint32
}

type answer struct {
	failed bool
	state  tally
	value  uint64
}

type refusal struct {
	failed bool
	_      uint32
	why    text
}

//go:wasmimport theater:simple/runtime log
func hostLog(at unsafe.Pointer, size uint32)

//go:wasmimport theater:simple/runtime self
func hostSelf(result unsafe.Pointer)

var (
	space  [1 << 20]byte // for what the host puts into memory in one call
	used   uint32
	result answer
	failed refusal
	echoed text
	self   text
)

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	start := (address(unsafe.Pointer(&space)) + used + align - 1) &^ (align - 1)
	end := start - address(unsafe.Pointer(&space)) + size
	if end < used || end > uint32(len(space)) {
		panic("more than fits into one call")
	}
	place := unsafe.Add(unsafe.Pointer(&space), end-size)
	copy(space[end-size:end], unsafe.Slice((*byte)(old), oldSize))
	used = end
	return place
}

func log(words string) {
	hostLog(unsafe.Pointer(unsafe.StringData(words)), uint32(len(words)))
}

func address(at unsafe.Pointer) uint32 {
	return uint32(uintptr(at))
}

func keep(state tally) unsafe.Pointer {
	result = answer{state: state, value: state.count}
	return unsafe.Pointer(&result)
}

func refuse(why string) unsafe.Pointer {
	failed = refusal{failed: true, why: text{address(unsafe.Pointer(unsafe.StringData(why))), uint32(len(why))}}
	return unsafe.Pointer(&failed)
}

//go:wasmexport theater:simple/actor#init
func begin(count uint64, given bool, last unsafe.Pointer, size uint32) unsafe.Pointer {
	hostSelf(unsafe.Pointer(&self))
	return keep(tally{count: count, given: true, last: self})
}

//go:wasmexport increment
func increment(count uint64, given bool, last unsafe.Pointer, size uint32, by uint64) unsafe.Pointer {
	log("adding")
	if by == 0 {
		return refuse("nothing to add")
	}
	hostSelf(unsafe.Pointer(&self))
	return keep(tally{count: count + by, given: true, last: self})
}

//go:wasmexport get
func get(count uint64, given bool, last unsafe.Pointer, size uint32) unsafe.Pointer {
	return keep(tally{count: count, given: given, last: text{address(last), size}})
}

//go:wasmexport trap
func trap(count uint64, given bool, last unsafe.Pointer, size uint32) unsafe.Pointer {
	log("trapping")
	panic("this ends in a trap")
}

//go:wasmexport spin
func spin(count uint64, given bool, last unsafe.Pointer, size uint32) unsafe.Pointer {
	for {
	}
}

//go:wasmexport echo
func echo(at unsafe.Pointer, size uint32) unsafe.Pointer {
	echoed = text{address(at), size}
	return unsafe.Pointer(&echoed)
}

//go:wasmexport echo-bytes
func echoBytes(at unsafe.Pointer, size uint32) unsafe.Pointer {
	return echo(at, size)
}

func forget() {
	used = 0
}

//go:wasmexport cabi_post_theater:simple/actor#init
func postBegin(unsafe.Pointer) { forget() }

//go:wasmexport cabi_post_increment
func postIncrement(unsafe.Pointer) { forget() }

//go:wasmexport cabi_post_get
func postGet(unsafe.Pointer) { forget() }

//go:wasmexport cabi_post_trap
func postTrap(unsafe.Pointer) { forget() }

//go:wasmexport cabi_post_spin
func postSpin(unsafe.Pointer) { forget() }

//go:wasmexport cabi_post_echo
func postEcho(unsafe.Pointer) { forget() }

//go:wasmexport cabi_post_echo-bytes
func postEchoBytes(unsafe.Pointer) { forget() }

func main() {}
