// The actor of probe.pact in JavaScript. What has no state gives back what it gets.
import { log, self } from "theater:simple/runtime";

export const actor = {
  init: (state) => [{ ...state, last: self() }],
};

export function increment(state, by) {
  log("adding");
  if (by === 0) throw "nothing to add";
  const grown = { count: state.count + by, last: self() };
  return [grown, grown.count];
}

export const get = (state) => [state, state.count];

export function trap(state) {
  log("trapping");
  // Whatever is thrown is the function's err; what is not of the declared type is a trap.
  return "no tuple";
}

export function spin(state) {
  for (;;);
}

export const echo = (text) => text;
export const echoBytes = (data) => data;

const same = (v) => v;

export const values = {
  echoBool: same,
  echoU8: same,
  echoU16: same,
  echoU32: same,
  echoU64: same,
  echoS8: same,
  echoS16: same,
  echoS32: same,
  echoS64: same,
  echoF32: same,
  echoF64: same,
  echoChar: same,
  echoLevel: same,
  echoAccess: same,
  echoShape: same,
  echoPerson: same,
  echoNumbers: same,
  echoStrings: same,
  echoPoints: same,
  echoLists: same,
  echoOption: same,
  echoOptions: same,
  echoTuple: same,
  echoResults: same,
  echoMap: same,
};
