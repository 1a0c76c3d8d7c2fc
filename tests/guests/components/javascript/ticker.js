// The actor of ticker.pact in JavaScript. What a host function refuses is thrown.
import { setInterval } from "theater:simple/timer";

export const start = (state, name, intervalMs) => [state, setInterval(name, intervalMs)];
export const count = (state) => [state, state.count];

export const timerClient = {
  handleTick: (state, name) => [{ count: state.count + 1, last: name }],
};
