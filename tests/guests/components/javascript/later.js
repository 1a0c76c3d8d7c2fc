// A function that answers later: its world is one of WASI 0.3, which hosts of 0.2 do not run.
export async function greet(name) {
  await Promise.resolve();
  return `hello ${name}`;
}
